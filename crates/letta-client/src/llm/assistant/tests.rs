use super::*;

const LIBRARIAN: &str = "You are Alpha, a helpful librarian. Keep your answers short.";

fn scene<'a>(system: &'a str, earlier: &[&str], text: &'a str) -> Scene<'a> {
    Scene {
        seed: 0,
        system: vec![system],
        persona: None,
        earlier: earlier.iter().map(|text| (*text).to_owned()).collect(),
        text,
        from_person: true,
        images: 0,
    }
}

fn say(earlier: &[&str], text: &str) -> String {
    answer(&scene(LIBRARIAN, earlier, text))
}

#[test]
fn it_greets_in_its_role() {
    let greeting = say(&[], "Hello!");
    assert!(
        greeting.contains("I am Alpha, a helpful librarian."),
        "{greeting}"
    );
    let again = say(&["Hello!"], "Hi again");
    assert!(!again.contains("librarian"), "{again}");
}

#[test]
fn it_tells_its_name_and_that_it_is_a_fake() {
    let name = say(&[], "What's your name?");
    assert!(name.contains("Alpha") && name.contains("fake model"), "{name}");
    assert!(say(&[], "are you a real person?").contains("fake"));
    assert!(say(&[], "What can you do?").contains("fake"));
}

#[test]
fn its_part_comes_from_lettas_persona_block() {
    let system = "<base_instructions>\nYou are a helpful agent.\n</base_instructions>\n<memory_blocks>\n<human>\n\
                  <value>\nThe human is Bob\n</value>\n</human>\n<persona>\n<description>\nwho I am\n</description>\n\
                  <value>\nMy name is Beta. I mind the archive.\n</value>\n</persona>\n</memory_blocks>";
    assert_eq!(
        Persona::read(&[system], Some("I am Nobody.")),
        Persona::read(&["Your name is Beta."], None),
        "the block wins over everything else"
    );
    let greeting = answer(&scene(system, &[], "hi"));
    assert!(
        greeting.contains("Bob") && greeting.contains("My name is Beta."),
        "{greeting}"
    );
    assert_eq!(answer(&scene(system, &[], "who am I?")), "Your name is Bob.");
}

#[test]
fn instructions_in_tags_are_no_persona() {
    let scene = Scene {
        persona: Some("I am Gamma."),
        ..scene("<base_instructions>\nx", &[], "who are you?")
    };
    assert!(answer(&scene).starts_with("I am Gamma."));
    let nameless = Scene {
        persona: None,
        ..scene
    };
    assert!(answer(&nameless).starts_with("I am an assistant without a name."));
}

#[test]
fn a_name_alone_is_a_persona() {
    assert_eq!(Persona::read(&["I am alpha"], None).introduction(), "I am alpha.");
    assert_eq!(
        Persona::read(&["You are a pirate"], None).introduction(),
        "I am a pirate."
    );
}

#[test]
fn it_repeats_what_was_said() {
    assert_eq!(
        say(&[], "What did I say?"),
        "Nothing yet: this is your first message in this conversation."
    );
    assert_eq!(
        say(&["The train leaves at nine."], "what did I just say?"),
        "You said: “The train leaves at nine”"
    );
    let three = ["one fish", "two fish", "red fish"];
    assert_eq!(
        say(&three, "What did I say first?"),
        "The first thing you said was: “one fish”"
    );
    assert_eq!(
        say(&three, "What did I tell you?"),
        "You sent 3 messages before this one. The latest, newest first: “red fish”, “two fish”, “one fish”."
    );
    assert_eq!(
        say(&three, "what did i say about the two?"),
        "You said: “two fish”"
    );
}

#[test]
fn it_remembers_facts_and_names() {
    let earlier = [
        "Hi, I'm Bob.",
        "My favourite colour is blue.",
        "my favourite colour is green!",
        "I am tired",
    ];
    assert_eq!(
        say(&earlier, "What is my favourite colour?"),
        "You told me that your favourite colour is green."
    );
    assert_eq!(say(&earlier, "what's my name?"), "Your name is Bob.");
    assert_eq!(
        say(&earlier, "What is my shoe size?"),
        "You have not told me about your shoe size yet."
    );
    assert_eq!(say(&[], "who am i"), "You have not told me your name yet.");
    assert!(say(&[], "My name is Bob").contains("Bob. I am Alpha"));
    assert!(say(&[], "My dog is called Rex.").ends_with(": your dog is called Rex."));
    assert!(say(&[], "Remember that the key is under the mat.").ends_with(": the key is under the mat."));
}

#[test]
fn several_facts_in_one_sentence_are_kept_apart() {
    let earlier = ["My name is Bob and my favourite colour is dark green, my dog is Rex."];
    assert_eq!(
        say(&earlier, "What is my favourite colour?"),
        "You told me that your favourite colour is dark green."
    );
    assert_eq!(
        say(&earlier, "what's my dog"),
        "You told me that your dog is Rex."
    );
    assert_eq!(say(&earlier, "what's my name"), "Your name is Bob.");
    let noted = say(&[], "My dog is Rex and my cat is Tom.");
    assert!(
        noted.ends_with(": your dog is Rex and your cat is Tom."),
        "{noted}"
    );
    assert!(say(&[], "Remember that my dog is Rex").ends_with(": your dog is Rex."));
}

#[test]
fn small_talk_gets_small_answers() {
    assert!(say(&[], "ok").len() < 40);
    assert!(say(&[], "I like you").len() < 40);
    assert!(say(&[], "What time is it?").contains("no clock"));
    assert!(phrases::JOKES.contains(&say(&[], "Tell me a joke").as_str()));
    let errand = say(&[], "Please write a poem about rain");
    assert!(
        errand.contains("fake model") || errand.contains("no real model"),
        "{errand}"
    );
}

#[test]
fn it_does_small_sums() {
    for seed in 0..8 {
        let answer = answer(&Scene {
            seed,
            ..scene(LIBRARIAN, &[], "what is 12 times 7?")
        });
        assert!(answer.contains("84"), "{answer}");
    }
    assert!(say(&[], "1/0").contains("divides by zero"));
}

#[test]
fn it_admits_what_it_does_not_know() {
    let answer = say(&[], "What is the capital of Mongolia?");
    assert!(answer.contains("about Mongolia"), "{answer}");
    assert!(
        answer.contains("fake model") || answer.contains("no real model"),
        "{answer}"
    );
}

#[test]
fn a_statement_is_reflected() {
    let answer = say(&[], "The garden wall fell over last night.");
    assert!(
        answer.contains("“The garden wall fell over last night”"),
        "{answer}"
    );
    let long = "word ".repeat(100);
    assert!(say(&[], &long).chars().count() < 250);
}

#[test]
fn the_seed_varies_the_wording_and_nothing_else_does() {
    let with = |seed| {
        answer(&Scene {
            seed,
            ..scene(LIBRARIAN, &[], "The garden wall fell over.")
        })
    };
    assert_eq!(with(1), with(1));
    let wordings: std::collections::HashSet<_> = (0..20).map(with).collect();
    assert!(wordings.len() > 2, "{wordings:?}");
}

#[test]
fn the_servers_own_messages_get_a_short_answer() {
    let scene = Scene {
        from_person: false,
        ..scene(LIBRARIAN, &[], "what is your name?")
    };
    assert!(answer(&scene).len() < 50);
}

#[test]
fn images_are_mentioned() {
    assert!(
        answer(&Scene {
            images: 2,
            ..scene(LIBRARIAN, &[], "look")
        })
        .contains("2 images")
    );
    assert_eq!(say(&[], " "), say(&[], " "));
}

proptest::proptest! {
    #[test]
    fn no_text_breaks_the_assistant(
        system in "(You are |I am |<persona>|</persona>|<value>|name: |[A-Za-zé .\n]){0,12}",
        earlier in proptest::collection::vec("(my |is |I'm |[A-Za-zÉé’ .?]){0,10}", 0..4),
        text in "(what is my |did i say |about |my |is |İ|I am |[A-Za-zß’ .?0-9+/]){0,12}",
    ) {
        let earlier: Vec<&str> = earlier.iter().map(String::as_str).collect();
        proptest::prop_assert!(!answer(&scene(&system, &earlier, &text)).is_empty());
    }
}
