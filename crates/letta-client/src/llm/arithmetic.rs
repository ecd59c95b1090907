//! Small sums in a sentence: `what is 12 times 7?`, `2 + 2 * (3 - 1)`, `15% of 80`.

use std::fmt;

/// Words that may stand around a sum without making the sentence one about something else.
const FILLERS: [&str; 42] = [
    "what",
    "whats",
    "is",
    "how",
    "much",
    "many",
    "calculate",
    "compute",
    "please",
    "can",
    "could",
    "you",
    "tell",
    "me",
    "the",
    "result",
    "of",
    "and",
    "hi",
    "hello",
    "hey",
    "equal",
    "equals",
    "solve",
    "evaluate",
    "answer",
    "to",
    "does",
    "make",
    "do",
    "quick",
    "so",
    "then",
    "now",
    "ok",
    "okay",
    "thanks",
    "thank",
    "add",
    "sum",
    "up",
    "be",
];

/// A sum found in a sentence, and what it comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sum {
    /// The sum in signs, for example `12 × 7`.
    pub(super) expression: String,
    /// What it comes to.
    pub(super) value: Value,
}

/// What a sum comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    Exactly(Ratio),
    DividesByZero,
    TooLarge,
}

/// The sum that `text` asks for; `None` when it asks for something else.
pub(super) fn find(text: &str) -> Option<Sum> {
    let tokens = tokens(text)?;
    let numbers = tokens
        .iter()
        .filter(|token| matches!(token, Token::Number(_)))
        .count();
    let operators = tokens
        .iter()
        .filter(|token| matches!(token, Token::Operator(_) | Token::Percent))
        .count();
    if numbers < 2 || operators == 0 {
        return None;
    }
    let mut parser = Parser {
        tokens: &tokens,
        at: 0,
        depth: 0,
    };
    let value = match parser.sum() {
        Ok(ratio) => Value::Exactly(ratio),
        Err(Trouble::DividesByZero) => Value::DividesByZero,
        Err(Trouble::TooLarge) => Value::TooLarge,
        Err(Trouble::NotASum) => return None,
    };
    if matches!(value, Value::Exactly(_)) && parser.at < tokens.len() {
        return None;
    }
    Some(Sum {
        expression: render(&tokens),
        value,
    })
}

/// A fraction in lowest terms with a denominator from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ratio {
    numerator: i128,
    denominator: i128,
}

impl Ratio {
    fn new(numerator: i128, denominator: i128) -> Result<Self, Trouble> {
        if denominator == 0 {
            return Err(Trouble::DividesByZero);
        }
        let divisor = divisor(numerator, denominator).ok_or(Trouble::TooLarge)?;
        let sign = denominator.signum();
        Ok(Self {
            numerator: sign * numerator / divisor,
            denominator: sign * denominator / divisor,
        })
    }

    fn whole(numerator: i128) -> Self {
        Self {
            numerator,
            denominator: 1,
        }
    }

    fn add(self, other: Self) -> Result<Self, Trouble> {
        let left = mul(self.numerator, other.denominator)?;
        let right = mul(other.numerator, self.denominator)?;
        Self::new(
            left.checked_add(right).ok_or(Trouble::TooLarge)?,
            mul(self.denominator, other.denominator)?,
        )
    }

    fn multiply(self, other: Self) -> Result<Self, Trouble> {
        Self::new(
            mul(self.numerator, other.numerator)?,
            mul(self.denominator, other.denominator)?,
        )
    }

    fn negated(self) -> Result<Self, Trouble> {
        Ok(Self {
            numerator: self.numerator.checked_neg().ok_or(Trouble::TooLarge)?,
            ..self
        })
    }

    fn inverted(self) -> Result<Self, Trouble> {
        Self::new(self.denominator, self.numerator)
    }

    fn power(self, exponent: Self) -> Result<Self, Trouble> {
        if exponent.denominator != 1 {
            return Err(Trouble::NotASum);
        }
        let base = if exponent.numerator < 0 {
            self.inverted()?
        } else {
            self
        };
        let times = u32::try_from(exponent.numerator.unsigned_abs()).map_err(|_| Trouble::TooLarge)?;
        let power = |n: i128| n.checked_pow(times).ok_or(Trouble::TooLarge);
        Self::new(power(base.numerator)?, power(base.denominator)?)
    }
}

fn mul(a: i128, b: i128) -> Result<i128, Trouble> {
    a.checked_mul(b).ok_or(Trouble::TooLarge)
}

/// The greatest common divisor, from 1; `None` when it does not fit.
fn divisor(a: i128, b: i128) -> Option<i128> {
    let (mut a, mut b) = (a.unsigned_abs(), b.unsigned_abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    i128::try_from(a.max(1)).ok()
}

impl fmt::Display for Ratio {
    /// A whole number, or a decimal with up to six places (`about` when that is not all of it).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const PLACES: u32 = 6;
        const SCALE: u128 = 10_u128.pow(PLACES);
        let (whole, rest) = {
            let (n, d) = (self.numerator.unsigned_abs(), self.denominator.unsigned_abs());
            (n / d, n % d)
        };
        let sign = if self.numerator < 0 { "-" } else { "" };
        if rest == 0 {
            return write!(f, "{sign}{whole}");
        }
        let Some(scaled) = rest.checked_mul(SCALE) else {
            return write!(f, "{}/{}", self.numerator, self.denominator);
        };
        let denominator = self.denominator.unsigned_abs();
        let (mut places, left) = (scaled / denominator, scaled % denominator);
        let mut whole = whole;
        if left * 2 >= denominator {
            places += 1;
        }
        if places == SCALE {
            (whole, places) = (whole + 1, 0);
        }
        let decimals = format!("{places:06}");
        let decimals = decimals.trim_end_matches('0');
        let about = if left == 0 { "" } else { "about " };
        if decimals.is_empty() {
            write!(f, "{about}{sign}{whole}")
        } else {
            write!(f, "{about}{sign}{whole}.{decimals}")
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    NotASum,
    DividesByZero,
    TooLarge,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Number(String),
    Operator(char),
    /// `% of`, or `%` at the end of a number.
    Percent,
    Open,
    Close,
}

/// The sum's tokens; `None` when the text has words that are neither fillers nor operators.
fn tokens(text: &str) -> Option<Vec<Token>> {
    let text = text.to_lowercase();
    let mut tokens = Vec::new();
    let mut words = Vec::new();
    let mut rest = text.as_str();
    while let Some(c) = rest.chars().next() {
        let width = c.len_utf8();
        if c.is_ascii_digit() {
            let length = rest
                .find(|c: char| !(c.is_ascii_digit() || c == '.' || c == ','))
                .unwrap_or(rest.len());
            let number = rest[..length].trim_end_matches(['.', ',']);
            tokens.push(Token::Number(number.to_owned()));
            rest = &rest[length..];
            // `2x4` is a product, `2nd` is a word.
            if rest.starts_with(char::is_alphabetic) && !rest.starts_with('x') {
                return None;
            }
            continue;
        }
        if c.is_alphabetic() {
            let length = rest
                .find(|c: char| !(c.is_alphabetic() || c == '\'' || c == '’'))
                .unwrap_or(rest.len());
            words.push(rest[..length].replace(['\'', '’'], ""));
            rest = &rest[length..];
            read_word(&words, &mut tokens, rest)?;
            continue;
        }
        match c {
            '+' | '*' | '/' | '^' => tokens.push(Token::Operator(c)),
            '-' | '−' | '–' => tokens.push(Token::Operator('-')),
            '×' | '·' => tokens.push(Token::Operator('*')),
            '÷' => tokens.push(Token::Operator('/')),
            '%' => tokens.push(Token::Percent),
            '(' => tokens.push(Token::Open),
            ')' => tokens.push(Token::Close),
            '=' | '?' | '!' | '.' | ',' | ':' | ';' => {}
            c if c.is_whitespace() => {}
            _ => return None,
        }
        rest = &rest[width..];
    }
    (!looks_like_a_date(&text)).then_some(tokens)
}

/// Turns the last word into an operator, or lets it pass as a filler; `None` when it is neither.
fn read_word(words: &[String], tokens: &mut Vec<Token>, rest: &str) -> Option<()> {
    let word = words.last()?.clone();
    let before = words
        .len()
        .checked_sub(2)
        .and_then(|at| words.get(at))
        .map(String::as_str);
    match (before, word.as_str()) {
        (_, "plus") => tokens.push(Token::Operator('+')),
        (_, "minus") => tokens.push(Token::Operator('-')),
        (_, "times") | (Some("multiplied"), "by") => tokens.push(Token::Operator('*')),
        (_, "x")
            if tokens
                .last()
                .is_some_and(|t| matches!(t, Token::Number(_) | Token::Close)) =>
        {
            tokens.push(Token::Operator('*'));
        }
        (Some("divided"), "by") | (_, "over") => tokens.push(Token::Operator('/')),
        (Some("the"), "power") => tokens.push(Token::Operator('^')),
        (_, "squared") => tokens.extend([Token::Operator('^'), Token::Number("2".to_owned())]),
        (_, "cubed") => tokens.extend([Token::Operator('^'), Token::Number("3".to_owned())]),
        (_, "percent") => tokens.push(Token::Percent),
        (_, "multiplied" | "divided") if rest.trim_start().starts_with("by") => {}
        // "add 2 and 3", "the sum of 2 and 3"
        (_, "and") if words.iter().any(|word| word == "add" || word == "sum") => {
            tokens.push(Token::Operator('+'));
        }
        (_, filler) if FILLERS.contains(&filler) || filler == "s" => {}
        _ => return None,
    }
    Some(())
}

/// `2026-11-21`, `555-1234`: digits joined by hyphens without spaces and with leading zeros or three groups.
fn looks_like_a_date(text: &str) -> bool {
    text.split(|c: char| !(c.is_ascii_digit() || c == '-'))
        .any(|run| {
            let groups: Vec<_> = run.split('-').filter(|group| !group.is_empty()).collect();
            groups.len() > 2
                || groups.len() == 2
                    && groups
                        .iter()
                        .any(|group| group.len() > 1 && group.starts_with('0'))
        })
}

fn render(tokens: &[Token]) -> String {
    let mut rendered = String::new();
    let mut after_value = false;
    for token in tokens {
        match token {
            Token::Number(number) => rendered.push_str(number),
            Token::Operator('-') if !after_value => rendered.push('-'),
            Token::Operator('^') => rendered.push('^'),
            Token::Operator(operator) => {
                let sign = match operator {
                    '*' => '×',
                    '/' => '÷',
                    '-' => '−',
                    other => *other,
                };
                rendered.extend([' ', sign, ' ']);
            }
            Token::Percent => rendered.push('%'),
            Token::Open => rendered.push('('),
            Token::Close => rendered.push(')'),
        }
        if matches!(token, Token::Number(_)) && rendered.contains('%') && after_value {
            // `15%` directly before a number reads `15% of 80`.
            let at = rendered.rfind('%').map_or(rendered.len(), |at| at + 1);
            rendered.insert_str(at, " of ");
        }
        after_value = matches!(token, Token::Number(_) | Token::Percent | Token::Close);
    }
    rendered
}

/// `sum = product (("+" | "-") product)*`, `product = power (("*" | "/") power)*`, `power = unary ("^" power)?`.
struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    const DEEPEST: usize = 64;

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn take_operator(&mut self, wanted: &[char]) -> Option<char> {
        match self.peek() {
            Some(Token::Operator(operator)) if wanted.contains(operator) => {
                let operator = *operator;
                self.at += 1;
                Some(operator)
            }
            _ => None,
        }
    }

    fn sum(&mut self) -> Result<Ratio, Trouble> {
        let mut value = self.product()?;
        while let Some(operator) = self.take_operator(&['+', '-']) {
            let right = self.product()?;
            value = value.add(if operator == '-' { right.negated()? } else { right })?;
        }
        Ok(value)
    }

    fn product(&mut self) -> Result<Ratio, Trouble> {
        let mut value = self.power()?;
        loop {
            if let Some(operator) = self.take_operator(&['*', '/']) {
                let right = self.power()?;
                value = value.multiply(if operator == '/' { right.inverted()? } else { right })?;
            } else if self.peek() == Some(&Token::Percent) {
                self.at += 1;
                value = value.multiply(Ratio::new(1, 100)?)?;
                if matches!(self.peek(), Some(Token::Number(_) | Token::Open)) {
                    value = value.multiply(self.power()?)?;
                }
            } else {
                return Ok(value);
            }
        }
    }

    fn power(&mut self) -> Result<Ratio, Trouble> {
        self.depth += 1;
        if self.depth > Self::DEEPEST {
            return Err(Trouble::NotASum);
        }
        if self.take_operator(&['-']).is_some() {
            let value = self.power()?.negated();
            self.depth -= 1;
            return value;
        }
        let base = self.unary()?;
        let value = if self.take_operator(&['^']).is_some() {
            base.power(self.power()?)
        } else {
            Ok(base)
        };
        self.depth -= 1;
        value
    }

    fn unary(&mut self) -> Result<Ratio, Trouble> {
        let token = self.peek().cloned().ok_or(Trouble::NotASum)?;
        self.at += 1;
        match token {
            Token::Number(number) => parse_number(&number),
            Token::Open => {
                let value = self.sum()?;
                if self.peek() != Some(&Token::Close) {
                    return Err(Trouble::NotASum);
                }
                self.at += 1;
                Ok(value)
            }
            Token::Operator(_) | Token::Percent | Token::Close => Err(Trouble::NotASum),
        }
    }
}

/// Reads `12`, `1,000` and `0.5`.
fn parse_number(number: &str) -> Result<Ratio, Trouble> {
    let number = number.replace(',', "");
    let (whole, decimals) = number.split_once('.').unwrap_or((&number, ""));
    if decimals.contains('.') {
        return Err(Trouble::NotASum);
    }
    let digits = format!("{whole}{decimals}");
    let numerator = digits.parse().map_err(|_| Trouble::TooLarge)?;
    let places = u32::try_from(decimals.len()).map_err(|_| Trouble::TooLarge)?;
    let scale = 10_i128.checked_pow(places).ok_or(Trouble::TooLarge)?;
    if scale == 1 {
        Ok(Ratio::whole(numerator))
    } else {
        Ratio::new(numerator, scale)
    }
}

#[cfg(test)]
mod tests;
