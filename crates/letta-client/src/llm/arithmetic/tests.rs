use proptest::prelude::*;

use super::*;

fn solve(text: &str) -> Option<(String, String)> {
    find(text).map(|sum| {
        let value = match sum.value {
            Value::Exactly(ratio) => ratio.to_string(),
            Value::DividesByZero => "divides by zero".to_owned(),
            Value::TooLarge => "too large".to_owned(),
        };
        (sum.expression, value)
    })
}

#[track_caller]
fn assert_solves(text: &str, expression: &str, value: &str) {
    assert_eq!(
        solve(text),
        Some((expression.to_owned(), value.to_owned())),
        "{text}"
    );
}

#[test]
fn sums_in_signs_and_words_are_solved() {
    assert_solves("2+2", "2 + 2", "4");
    assert_solves("What is 12 times 7?", "12 × 7", "84");
    assert_solves("what's 2 + 3 * (4 - 1)?", "2 + 3 × (4 − 1)", "11");
    assert_solves("hello, how much is 10 divided by 4, please", "10 ÷ 4", "2.5");
    assert_solves("1 / 3", "1 ÷ 3", "about 0.333333");
    assert_solves("2 to the power of 10", "2^10", "1024");
    assert_solves("-2^2", "-2^2", "-4");
    assert_solves("2^-1", "2^-1", "0.5");
    assert_solves("15% of 80", "15% of 80", "12");
    assert_solves("what is 12.5 percent of 1,000?", "12.5% of 1,000", "125");
    assert_solves("add 2 and 3", "2 + 3", "5");
    assert_solves("3x4", "3 × 4", "12");
    assert_solves("0.1 + 0.2", "0.1 + 0.2", "0.3");
    assert_solves("2 - 5", "2 − 5", "-3");
    assert_solves("999999.9999999 + 0", "999999.9999999 + 0", "about 1000000");
}

#[test]
fn impossible_sums_are_named_as_such() {
    assert_solves("1/0", "1 ÷ 0", "divides by zero");
    assert_solves("9^999", "9^999", "too large");
    assert_solves("0^-1", "0^-1", "divides by zero");
}

#[test]
fn sentences_about_something_else_are_no_sums() {
    for text in [
        "I was born on 2026-11-21",
        "2026-11-21",
        "call 555-0199",
        "I have 2 cats and 3 dogs",
        "hello",
        "42",
        "version 1.2.3",
        "2 +",
        "((((2",
        "2 + 2 = fish",
        "1.2.3 + 1",
    ] {
        assert_eq!(solve(text), None, "{text}");
    }
}

proptest! {
    #[test]
    fn no_text_breaks_the_calculator(text in r#"([0-9(),.+*/^% x-]|and|plus|over|[a-zé]){0,60}"#) {
        if let Some(Sum { value: Value::Exactly(ratio), .. }) = find(&text) {
            prop_assert!(ratio.denominator > 0);
            let _ = ratio.to_string();
        }
    }

    #[test]
    fn whole_numbers_are_added_and_multiplied_exactly(a in 0_i64..1_000_000_000, b in 0_i64..1_000_000_000) {
        assert_solves(&format!("{a} + {b}"), &format!("{a} + {b}"), &(a + b).to_string());
        assert_solves(&format!("{a} * {b}"), &format!("{a} × {b}"), &(i128::from(a) * i128::from(b)).to_string());
    }
}
