//! An assistant made of rules: it stays in its role, remembers the conversation, and says what it is.

mod persona;
mod phrases;
mod recall;

use self::persona::{Persona, user_name};
use super::arithmetic::{self, Value};
use super::hash::StableHash;

/// What an answer is made from.
#[derive(Debug)]
pub(super) struct Scene<'a> {
    pub(super) seed: u64,
    /// The system messages, oldest first.
    pub(super) system: Vec<&'a str>,
    /// Who the assistant is when the system messages do not say.
    pub(super) persona: Option<&'a str>,
    /// What people said before, oldest first.
    pub(super) earlier: Vec<String>,
    /// What is to be answered.
    pub(super) text: &'a str,
    /// Whether a person wrote it; otherwise the server did.
    pub(super) from_person: bool,
    pub(super) images: usize,
}

/// The answer to the scene's text. The same scene gives the same answer.
pub(super) fn answer(scene: &Scene<'_>) -> String {
    let speaker = Speaker {
        persona: Persona::read(&scene.system, scene.persona),
        words: words(scene.text),
        scene,
    };
    if !scene.from_person {
        return speaker
            .pick(&["All right, nothing to add from me.", "Noted.", "I am still here."])
            .to_owned();
    }
    let answer = speaker.by_rule().unwrap_or_else(|| speaker.reflect());
    match scene.images {
        0 => answer,
        1 => format!("{answer} (There is an image with your message. I cannot see images.)"),
        n => format!("{answer} (There are {n} images with your message. I cannot see images.)"),
    }
}

/// The lower-case words of a text, without punctuation; apostrophes are dropped (`what's` is `whats`).
fn words(text: &str) -> Vec<String> {
    let plain = text.to_lowercase().replace(['\'', '’'], "");
    plain
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

struct Speaker<'a> {
    scene: &'a Scene<'a>,
    persona: Persona,
    words: Vec<String>,
}

impl Speaker<'_> {
    /// One of the phrases: by seed, what is answered, and how far the conversation is.
    fn pick<'p>(&self, phrases: &[&'p str]) -> &'p str {
        self.pick_again(0, phrases)
    }

    /// The same, independent of what was picked under other numbers.
    fn pick_again<'p>(&self, number: u64, phrases: &[&'p str]) -> &'p str {
        let at = StableHash::new(self.scene.seed)
            .text(self.scene.text)
            .number(self.scene.earlier.len() as u64)
            .number(number)
            .below(phrases.len());
        phrases.get(at).copied().unwrap_or_default()
    }

    /// Whether these words stand next to each other in the text.
    fn says(&self, phrase: &str) -> bool {
        contains_phrase(&self.words, phrase)
    }

    fn says_any(&self, phrases: &[&str]) -> bool {
        phrases.iter().any(|phrase| self.says(phrase))
    }

    /// The first rule that has something to say.
    fn by_rule(&self) -> Option<String> {
        self.on_nothing()
            .or_else(|| self.on_own_words())
            .or_else(|| self.on_known_fact())
            .or_else(|| self.on_own_name())
            .or_else(|| self.on_sum())
            .or_else(|| self.on_introduction())
            .or_else(|| self.on_told_fact())
            .or_else(|| self.on_nature())
            .or_else(|| self.on_wellbeing())
            .or_else(|| self.on_abilities())
            .or_else(|| self.on_time())
            .or_else(|| self.on_joke())
            .or_else(|| self.on_courtesy())
            .or_else(|| self.on_question())
            .or_else(|| self.on_errand())
    }

    fn on_nothing(&self) -> Option<String> {
        self.words.is_empty().then(|| {
            let phrase = self.pick(&["I am listening.", "Yes? I am here.", "Go on, I am all ears."]);
            phrase.to_owned()
        })
    }

    /// "What did I say?"
    fn on_own_words(&self) -> Option<String> {
        if !self.says_any(phrases::ASKS_OWN_WORDS) {
            return None;
        }
        let earlier = &self.scene.earlier;
        let Some((last, before)) = earlier.split_last() else {
            return Some("Nothing yet: this is your first message in this conversation.".to_owned());
        };
        if let Some(found) = recall::about(&self.words, earlier) {
            return Some(format!("You said: “{}”", excerpt(found)));
        }
        if self.says("first") {
            return Some(format!(
                "The first thing you said was: “{}”",
                excerpt(&earlier[0])
            ));
        }
        if before.is_empty() {
            return Some(format!("You said: “{}”", excerpt(last)));
        }
        let list: Vec<_> = earlier
            .iter()
            .rev()
            .take(3)
            .map(|text| format!("“{}”", excerpt(text)))
            .collect();
        Some(format!(
            "You sent {} messages before this one. The latest, newest first: {}.",
            earlier.len(),
            list.join(", ")
        ))
    }

    /// "What is my favourite colour?", "what is my name?"
    fn on_known_fact(&self) -> Option<String> {
        let wanted = recall::asked_fact(&self.words)?;
        if wanted == "name" || self.says("who am i") {
            let name = self
                .scene
                .earlier
                .iter()
                .rev()
                .find_map(|text| recall::introduction(text));
            return Some(match name.or_else(|| user_name(&self.scene.system)) {
                Some(name) => format!("Your name is {name}."),
                None => "You have not told me your name yet.".to_owned(),
            });
        }
        let known = self
            .scene
            .earlier
            .iter()
            .rev()
            .find_map(|text| recall::told(text, &wanted));
        Some(match known {
            Some(fact) => format!("You told me that {fact}."),
            None => format!("You have not told me about your {wanted} yet."),
        })
    }

    /// "Who are you?"
    fn on_own_name(&self) -> Option<String> {
        self.says_any(phrases::ASKS_NAME).then(|| {
            format!(
                "{} {}",
                self.persona.introduction(),
                "A built-in fake model speaks for me, so I know only simple things."
            )
        })
    }

    fn on_sum(&self) -> Option<String> {
        let sum = arithmetic::find(self.scene.text)?;
        let expression = sum.expression;
        Some(match sum.value {
            Value::Exactly(value) => match self.pick(&["is", "comes to", "makes"]) {
                "makes" => format!("That makes {value}."),
                verb => format!("{expression} {verb} {value}."),
            },
            Value::DividesByZero => format!("{expression} has no answer: it divides by zero."),
            Value::TooLarge => format!("{expression} is too large for me to work out."),
        })
    }

    /// "My name is Bob."
    fn on_introduction(&self) -> Option<String> {
        let name = recall::introduction(self.scene.text)?;
        let phrase = self.pick(&["Nice to meet you", "Pleased to meet you", "Hello"]);
        Some(format!("{phrase}, {name}. {}", self.persona.introduction()))
    }

    /// "My favourite colour is blue.", "Remember that the key is under the mat."
    fn on_told_fact(&self) -> Option<String> {
        if self.scene.text.contains('?') {
            return None;
        }
        let fact = recall::told_fact(self.scene.text)?;
        let phrase = self.pick(&["I will remember that", "Noted", "Thank you for telling me"]);
        Some(format!("{phrase}: {fact}."))
    }

    /// "Are you a real AI?"
    fn on_nature(&self) -> Option<String> {
        self.says_any(phrases::ASKS_NATURE).then(|| {
            "I am a fake: a built-in model made of rules, there so that everything around it can be tried without a \
             real one. I keep to my role and remember this conversation, but I do not know about the world."
                .to_owned()
        })
    }

    fn on_wellbeing(&self) -> Option<String> {
        self.says_any(phrases::ASKS_WELLBEING).then(|| {
            let phrase = self.pick(&[
                "I am well, thank you. What can I do for you?",
                "Fine, thank you for asking. And you?",
                "Very well, thanks. What is on your mind?",
            ]);
            phrase.to_owned()
        })
    }

    fn on_abilities(&self) -> Option<String> {
        self.says_any(phrases::ASKS_ABILITIES).then(|| {
            format!(
                "{} I can do small sums (“what is 12 times 7?”), remember what you tell me (“my favourite colour is \
                 blue”) and repeat what you said. For anything else I would need a real model: I am a built-in fake.",
                self.persona.introduction()
            )
        })
    }

    fn on_time(&self) -> Option<String> {
        self.says_any(phrases::ASKS_TIME)
            .then(|| "I have no clock and no calendar: I live in a test.".to_owned())
    }

    fn on_joke(&self) -> Option<String> {
        self.says("joke").then(|| self.pick(phrases::JOKES).to_owned())
    }

    /// Greetings, thanks, praise, farewells and yes-yes, when that is all there is.
    fn on_courtesy(&self) -> Option<String> {
        if self.words.len() > 6 {
            return None;
        }
        if self.says_any(phrases::THANKS) {
            return Some(
                self.pick(&["You are welcome.", "My pleasure.", "Any time."])
                    .to_owned(),
            );
        }
        if self.says_any(phrases::PRAISE) {
            return Some(
                self.pick(&["That is kind of you.", "How nice to hear.", "You are very kind."])
                    .to_owned(),
            );
        }
        if self.says_any(phrases::FAREWELLS) {
            return Some(
                self.pick(&["Goodbye!", "See you soon.", "Until next time."])
                    .to_owned(),
            );
        }
        if self
            .words
            .iter()
            .all(|word| phrases::SHORT_WORDS.contains(&word.as_str()))
        {
            return Some(
                self.pick(&["All right.", "Good. What next?", "I am here when you need me."])
                    .to_owned(),
            );
        }
        self.greets().then(|| self.greeting())
    }

    fn greets(&self) -> bool {
        phrases::GREETINGS.iter().any(|greeting| {
            let greeting = words(greeting);
            self.words.starts_with(&greeting)
        })
    }

    fn greeting(&self) -> String {
        let hello = self.pick(&["Hello", "Hi", "Good to see you"]);
        let name = self
            .scene
            .earlier
            .iter()
            .rev()
            .find_map(|text| recall::introduction(text));
        let hello = match name.or_else(|| user_name(&self.scene.system)) {
            Some(name) => format!("{hello}, {name}!"),
            None => format!("{hello}!"),
        };
        if self.scene.earlier.is_empty() {
            let offer = self.pick(&[
                "How can I help?",
                "What can I do for you?",
                "What shall we talk about?",
            ]);
            format!("{hello} {} {offer}", self.persona.introduction())
        } else {
            format!("{hello} What else can I do for you?")
        }
    }

    fn on_question(&self) -> Option<String> {
        let asks = self.scene.text.contains('?')
            || self
                .words
                .first()
                .is_some_and(|word| phrases::QUESTION_WORDS.contains(&word.as_str()));
        asks.then(|| {
            let admission = match self.topic() {
                Some(topic) => {
                    let lead = self.pick(&[
                        "I know nothing about",
                        "I was taught nothing about",
                        "You will know more than I about",
                    ]);
                    format!("{lead} {topic}")
                }
                None => self
                    .pick(&["I do not know", "I cannot say", "That is more than I know"])
                    .to_owned(),
            };
            format!("{admission}: {}", self.excuse())
        })
    }

    /// "Write a poem about rain."
    fn on_errand(&self) -> Option<String> {
        let asks = self.words.iter().find(|word| *word != "please");
        asks.is_some_and(|word| phrases::ERRANDS.contains(&word.as_str()))
            .then(|| {
                let lead = self.pick(&["I cannot do that", "That is beyond me", "I would if I could"]);
                format!("{lead}: {}", self.excuse())
            })
    }

    /// Why it cannot do more, and what it can.
    fn excuse(&self) -> &'static str {
        self.pick_again(1, &[
            "I am a built-in fake model and look nothing up. I can do small sums, and I remember what you tell me.",
            "a fake model speaks for me. Tell me something about yourself, and ask me for it later.",
            "there is no real model behind me, only rules. Try me with a sum, or with what you said before.",
        ])
    }

    /// A statement: shows that it was read.
    fn reflect(&self) -> String {
        let excerpt = excerpt(self.scene.text);
        let opening = self.pick(&["I see", "Understood", "I have read that"]);
        let closing = match self.topic() {
            Some(topic) => match self.pick(&["a", "b", "c"]) {
                "a" => format!("What matters most to you about {topic}?"),
                "b" => format!("Would you like to tell me more about {topic}?"),
                _ => format!("I will remember what you say about {topic}."),
            },
            None => "Tell me more if you like.".to_owned(),
        };
        let greeting = if self.greets() { "Hello! " } else { "" };
        format!("{greeting}{opening}: “{excerpt}”. {closing}")
    }

    /// The longest word that is not a common one.
    fn topic(&self) -> Option<String> {
        let mut best: Option<&str> = None;
        for word in &self.words {
            let telling = word.chars().count() > 3 && !phrases::COMMON_WORDS.contains(&word.as_str());
            if telling && best.is_none_or(|best| word.chars().count() > best.chars().count()) {
                best = Some(word);
            }
        }
        // As it was written: `Paris`, not `paris`.
        let best = best?;
        let written = self.scene.text.split(|c: char| !c.is_alphanumeric());
        Some(
            written
                .into_iter()
                .find(|word| word.to_lowercase() == best)
                .unwrap_or(best)
                .to_owned(),
        )
    }
}

/// Whether `phrase`, given in lower-case words, stands in `words`.
fn contains_phrase(words: &[String], phrase: &str) -> bool {
    let phrase: Vec<_> = phrase.split(' ').collect();
    words.windows(phrase.len()).any(|window| window == phrase)
}

/// A text on one line, at most 120 characters of it.
fn excerpt(text: &str) -> String {
    const LONGEST: usize = 120;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", line[..end].trim_end()),
        None => line.trim_end_matches(['.', '!']).to_owned(),
    }
}

#[cfg(test)]
mod tests;
