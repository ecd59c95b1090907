//! Whether a server's clock and ours agree. Signatures with a time and the order of messages depend on it.

use jiff::SignedDuration;

use super::finding::Finding;

/// The header that tells a server's time counts whole seconds, and answers take a while.
const WARN: SignedDuration = SignedDuration::from_secs(60);
const TOO_FAR: SignedDuration = SignedDuration::from_mins(10);

/// Judges how far a server's clock is ahead of ours. `None`: the server did not tell the time.
pub(super) fn judge(check: &'static str, who: &str, skew: Option<SignedDuration>) -> Finding {
    let Some(skew) = skew else {
        return Finding::skipped(check, format!("{who} does not say what time it has"));
    };
    let (apart, direction) = (skew.abs(), if skew.is_negative() { "behind" } else { "ahead of" });
    if apart <= WARN {
        return Finding::ok(check, format!("{who} has the time that this machine has"));
    }
    let message = format!(
        "the clock of {who} is {} {direction} that of this machine",
        for_people(apart)
    );
    let advice = "Let both machines set their clocks by NTP (timedatectl shows whether they do).";
    if apart > TOO_FAR {
        Finding::problem(check, message).advice(advice)
    } else {
        Finding::warning(check, message).advice(advice)
    }
}

fn for_people(apart: SignedDuration) -> String {
    let minutes = apart.as_secs() / 60;
    match minutes {
        0..120 => format!("{minutes} min"),
        120..2880 => format!("{} h", minutes / 60),
        _ => format!("{} days", minutes / (24 * 60)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_judged_by_how_far_it_is_off() {
        for (seconds, expected) in [
            (0, "\"ok\",\"message\":\"Letta has the time"),
            (-60, "\"ok\""),
            (
                61,
                "\"warning\",\"message\":\"the clock of Letta is 1 min ahead of that of this machine",
            ),
            (
                -600,
                "\"warning\",\"message\":\"the clock of Letta is 10 min behind that",
            ),
            (
                601,
                "\"problem\",\"message\":\"the clock of Letta is 10 min ahead",
            ),
            (
                -7_200,
                "\"problem\",\"message\":\"the clock of Letta is 2 h behind",
            ),
            (
                86_400 * 400,
                "\"problem\",\"message\":\"the clock of Letta is 400 days ahead",
            ),
        ] {
            let skew = Some(SignedDuration::from_secs(seconds));
            let finding = serde_json::to_string(&judge("letta_clock", "Letta", skew)).unwrap();
            assert!(finding.contains(expected), "{seconds}: {finding}");
        }
        let unknown = serde_json::to_string(&judge("letta_clock", "Letta", None)).unwrap();
        assert!(unknown.contains("\"skipped\""), "{unknown}");
    }
}
