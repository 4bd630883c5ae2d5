//! Durations as text: a whole number and `ms`, `s` or `m`.

/// The milliseconds that `text` says, or what is wrong with it, to follow the name of the attribute.
pub(super) fn milliseconds(text: &str) -> Result<u64, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        _ => return Err(FORM.to_owned()),
    };
    if number.is_empty() {
        return Err(FORM.to_owned());
    }
    match number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)) {
        Some(0) => Err("of zero would be over before the call begins".to_owned()),
        Some(milliseconds) => Ok(milliseconds),
        None => Err(format!("of {text} is longer than any call lasts")),
    }
}

const FORM: &str = "is a whole number and a unit: \"20ms\", \"2s\" or \"1m\"";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_and_a_unit_are_milliseconds() {
        for (text, expected) in
            [("1ms", 1), ("20ms", 20), ("2s", 2_000), ("1m", 60_000), ("010s", 10_000), ("90m", 5_400_000)]
        {
            assert_eq!(milliseconds(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "2", "s", "ms", "2 s", "1.5s", "-1s", "2h", "2S", "2sec", " 2s", "2s ", "\u{0662}s"]
        {
            assert_eq!(milliseconds(text), Err(FORM.to_owned()), "{text}");
        }
        for text in ["0ms", "0s", "00m"] {
            assert!(milliseconds(text).is_err_and(|fault| fault.contains("zero")), "{text}");
        }
        for text in ["18446744073709551616ms", "18446744073709551615s"] {
            assert!(milliseconds(text).is_err_and(|fault| fault.contains("longer")), "{text}");
        }
    }
}
