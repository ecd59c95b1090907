//! What the checks found, and how it is told.

use serde::Serialize;

use crate::{
    config::Setting,
    failure::Failure,
    output::{one_line, to_stdout},
};

/// More than any message of ours has; what servers say is foreign.
const MAX_MESSAGE: usize = 800;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// As it should be.
    Ok,
    /// It works, and somebody should know of it.
    Warning,
    /// It does not work, or not for long.
    Problem,
    /// It could not be seen from here.
    Skipped,
}

/// The outcome of one check. A documented, stable output.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    check: &'static str,
    result: Verdict,
    message: String,
    /// The settings to change, as they are called in the file.
    settings: Vec<&'static str>,
    what_to_do: Option<String>,
}

impl Finding {
    /// All is well.
    pub(super) fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(check, Verdict::Ok, &message.into())
    }

    /// It works, and somebody should know of it.
    pub(super) fn warning(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(check, Verdict::Warning, &message.into())
    }

    /// It does not work.
    pub(super) fn problem(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(check, Verdict::Problem, &message.into())
    }

    /// It could not be seen, and why.
    pub(super) fn skipped(check: &'static str, why: impl Into<String>) -> Self {
        Self::new(check, Verdict::Skipped, &why.into())
    }

    /// What kept a check from its end, as other commands tell it.
    pub(super) fn failed(check: &'static str, failure: &Failure) -> Self {
        Self::told(check, failure.reason(), failure)
    }

    /// The same where the reason says nothing more.
    pub(super) fn refused(check: &'static str, failure: &Failure) -> Self {
        Self::told(check, failure.what().to_owned(), failure)
    }

    fn told(check: &'static str, message: String, failure: &Failure) -> Self {
        let finding = Self::problem(check, message);
        match failure.what_to_do() {
            Some(advice) => finding.advice(advice),
            None => finding,
        }
    }

    fn new(check: &'static str, result: Verdict, message: &str) -> Self {
        Self {
            check,
            result,
            message: one_line(message, MAX_MESSAGE),
            settings: Vec::new(),
            what_to_do: None,
        }
    }

    /// The settings that it is about.
    #[must_use]
    pub(super) fn settings(mut self, settings: &[&'static Setting]) -> Self {
        self.settings = settings.iter().map(|setting| setting.key).collect();
        self
    }

    /// What to do.
    #[must_use]
    pub(super) fn advice(mut self, advice: impl Into<String>) -> Self {
        self.what_to_do = Some(one_line(&advice.into(), MAX_MESSAGE));
        self
    }

    /// Whether something does not work.
    pub(super) fn is_problem(&self) -> bool {
        self.result == Verdict::Problem
    }

    fn text(&self) -> String {
        let result = match self.result {
            Verdict::Ok => "ok",
            Verdict::Warning => "warning",
            Verdict::Problem => "PROBLEM",
            Verdict::Skipped => "skipped",
        };
        let check = self.check.replace('_', " ");
        let mut text = format!("{result:<8} {check}: {}\n", self.message);
        if let Some(advice) = &self.what_to_do {
            text.push_str(&format!("         what to do: {advice}\n"));
        }
        text
    }
}

/// All findings so far.
#[derive(Debug)]
pub(super) struct Report {
    findings: Vec<Finding>,
    /// Whether findings are printed as they come; how many were.
    as_they_come: Option<usize>,
}

impl Report {
    /// No findings yet. `as_they_come`: for a person who waits; otherwise one JSON object at the end.
    pub(super) fn new(as_they_come: bool) -> Self {
        Self {
            findings: Vec::new(),
            as_they_come: as_they_come.then_some(0),
        }
    }

    /// Adds a finding.
    pub(super) fn add(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// Prints what is new, for a person.
    pub(super) fn print_new(&mut self) -> Result<(), Failure> {
        if let Some(printed) = &mut self.as_they_come {
            let text: String = self.findings[*printed..].iter().map(Finding::text).collect();
            to_stdout(&text)?;
            *printed = self.findings.len();
        }
        Ok(())
    }

    /// Prints the rest and the sum.
    pub(super) fn finish(&mut self) -> Result<(), Failure> {
        self.print_new()?;
        let text = match self.as_they_come {
            Some(_) => format!("{}\n", self.sum()),
            None => self.json()?,
        };
        Ok(to_stdout(&text)?)
    }

    /// Whether something does not work.
    pub(super) fn has_problems(&self) -> bool {
        self.findings.iter().any(Finding::is_problem)
    }

    fn count(&self, result: Verdict) -> usize {
        self.findings
            .iter()
            .filter(|finding| finding.result == result)
            .count()
    }

    fn sum(&self) -> String {
        let counted = |count: usize, what: &str| match count {
            0 => format!("no {what}s"),
            1 => format!("1 {what}"),
            _ => format!("{count} {what}s"),
        };
        match (self.count(Verdict::Problem), self.count(Verdict::Warning)) {
            (0, 0) => "All is well.".to_owned(),
            (problems, warnings) => format!(
                "{}, {}.",
                uppercase_first(&counted(problems, "problem")),
                counted(warnings, "warning")
            ),
        }
    }

    fn json(&self) -> Result<String, Failure> {
        #[derive(Serialize)]
        struct Json<'a> {
            problems: usize,
            warnings: usize,
            checks: &'a [Finding],
        }
        let json = Json {
            problems: self.count(Verdict::Problem),
            warnings: self.count(Verdict::Warning),
            checks: &self.findings,
        };
        let text = serde_json::to_string_pretty(&json)
            .map_err(|error| Failure::new(format!("cannot write the result as JSON: {error}")))?;
        Ok(text + "\n")
    }
}

fn uppercase_first(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LETTA_URL;

    #[test]
    fn a_finding_is_one_line_and_one_of_advice() {
        let finding = Finding::problem("letta_connection", "it is\ndown")
            .settings(&[&LETTA_URL])
            .advice("Start it.");
        assert_eq!(
            finding.text(),
            "PROBLEM  letta connection: it is\u{fffd}down\n         what to do: Start it.\n"
        );
    }

    #[test]
    fn the_sum_counts_problems_and_warnings() {
        let mut report = Report::new(true);
        report.add(Finding::ok("a", "fine"));
        report.add(Finding::skipped("b", "dark"));
        assert_eq!(
            (report.sum().as_str(), report.has_problems()),
            ("All is well.", false)
        );
        report.add(Finding::warning("c", "hm"));
        assert_eq!(
            (report.sum().as_str(), report.has_problems()),
            ("No problems, 1 warning.", false)
        );
        report.add(Finding::problem("d", "no"));
        report.add(Finding::problem("e", "no"));
        assert_eq!(
            (report.sum().as_str(), report.has_problems()),
            ("2 problems, 1 warning.", true)
        );
    }
}
