//! Integers by their value: `1.0`, `1e2` and `-0` are integers for JSON Schema, and for serde floats.

use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};
use serde_json::value::RawValue;

/// The value of an integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Integer {
    Positive(u128),
    Negative(i128),
}

/// Why the text of a number is not an integer that a type can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NotAnInteger {
    HasFraction,
    TooLarge,
}

/// The digits of the largest integer of all, 2^128 - 1.
const DIGITS_MAX: usize = 39;

/// Gives a visitor of integers the number that stands next, exactly.
#[cold]
pub(super) fn deserialize<'de, D, V>(deserializer: D, visitor: V) -> Result<V::Value, D::Error>
where
    D: Deserializer<'de>,
    V: Visitor<'de>,
{
    let text = <&RawValue>::deserialize(deserializer)?.get();
    let unexpected = match text.as_bytes().first() {
        Some(b'n') => Unexpected::Unit,
        Some(b't') => Unexpected::Bool(true),
        Some(b'f') => Unexpected::Bool(false),
        Some(b'[') => Unexpected::Seq,
        Some(b'{') => Unexpected::Map,
        Some(b'"') => {
            let text: String = serde_json::from_str(text).map_err(D::Error::custom)?;
            return Err(D::Error::invalid_type(Unexpected::Str(&text), &visitor));
        }
        _ => return visit_number(text, visitor),
    };
    Err(D::Error::invalid_type(unexpected, &visitor))
}

fn visit_number<'de, V: Visitor<'de>, E: Error>(text: &str, visitor: V) -> Result<V::Value, E> {
    match parse(text) {
        Ok(Integer::Positive(number)) => match u64::try_from(number) {
            Ok(number) => visitor.visit_u64(number),
            Err(_) => visitor.visit_u128(number),
        },
        Ok(Integer::Negative(number)) => match i64::try_from(number) {
            Ok(number) => visitor.visit_i64(number),
            Err(_) => visitor.visit_i128(number),
        },
        Err(NotAnInteger::HasFraction) => {
            Err(E::invalid_type(Unexpected::Other(&format!("floating point `{text}`")), &visitor))
        }
        Err(NotAnInteger::TooLarge) => {
            Err(E::invalid_value(Unexpected::Other(&format!("number `{text}`")), &visitor))
        }
    }
}

/// The integer that the text of a JSON number stands for.
fn parse(text: &str) -> Result<Integer, NotAnInteger> {
    let (is_negative, text) = text.strip_prefix('-').map_or((false, text), |text| (true, text));
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let fraction = fraction.trim_end_matches('0');
    let digits = || whole.bytes().chain(fraction.bytes()).skip_while(|digit| *digit == b'0');
    let count = digits().count();
    if count == 0 {
        return Ok(Integer::Positive(0));
    }
    // An exponent that no integer of the machine holds moves the point further than there are digits.
    let exponent = match exponent.parse::<i64>() {
        Ok(exponent) => exponent,
        Err(_) if exponent.starts_with('-') => return Err(NotAnInteger::HasFraction),
        Err(_) => return Err(NotAnInteger::TooLarge),
    };
    let length = |digits: usize| i64::try_from(digits).unwrap_or(i64::MAX);
    // How many zeros follow the digits, or how many of the digits stand behind the point.
    let zeros = exponent.saturating_sub(length(fraction.len()));
    let trailing = whole.bytes().chain(fraction.bytes()).rev().take_while(|digit| *digit == b'0').count();
    if zeros < 0 && length(trailing).saturating_add(zeros) < 0 {
        return Err(NotAnInteger::HasFraction);
    }
    let kept = length(count).saturating_add(zeros);
    if kept > length(DIGITS_MAX) {
        return Err(NotAnInteger::TooLarge);
    }
    let kept = usize::try_from(kept).unwrap_or(0);
    let number = digits()
        .chain(std::iter::repeat(b'0'))
        .take(kept)
        .try_fold(0_u128, |number, digit| number.checked_mul(10)?.checked_add(u128::from(digit - b'0')));
    let number = number.ok_or(NotAnInteger::TooLarge)?;
    if !is_negative {
        return Ok(Integer::Positive(number));
    }
    0_i128.checked_sub_unsigned(number).map(Integer::Negative).ok_or(NotAnInteger::TooLarge)
}

/// The same JSON with every integer of up to 64 bits written as digits alone; nothing when all are already.
pub(super) fn in_plain_form(json: &str) -> Option<String> {
    let mut plain = String::new();
    let mut copied = 0;
    let mut bytes = json.bytes().enumerate().peekable();
    while let Some((begin, byte)) = bytes.next() {
        match byte {
            b'"' => loop {
                match bytes.next() {
                    Some((_, b'\\')) => _ = bytes.next(),
                    Some((_, b'"')) | None => break,
                    Some(_) => {}
                }
            },
            b'-' | b'0'..=b'9' => {
                let is_of_number =
                    |byte: u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-');
                let mut end = begin + 1;
                while bytes.next_if(|(_, byte)| is_of_number(*byte)).is_some() {
                    end += 1;
                }
                let number = &json[begin..end];
                let digits = match parse(number) {
                    Ok(Integer::Positive(value)) => u64::try_from(value).ok().map(|value| value.to_string()),
                    Ok(Integer::Negative(value)) => i64::try_from(value).ok().map(|value| value.to_string()),
                    Err(_) => None,
                };
                if let Some(digits) = digits.filter(|digits| digits != number) {
                    plain.push_str(&json[copied..begin]);
                    plain.push_str(&digits);
                    copied = end;
                }
            }
            _ => {}
        }
    }
    (copied > 0).then(|| plain + &json[copied..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_read_by_their_value() {
        let positive = [
            ("0", 0),
            ("0.0", 0),
            ("-0", 0),
            ("-0.000e9", 0),
            ("0e99999999999999999999", 0),
            ("1.0", 1),
            ("1e2", 100),
            ("1E+2", 100),
            ("120e-1", 12),
            ("1.5e1", 15),
            ("0.00015e5", 15),
            ("9007199254740993.0", 9_007_199_254_740_993),
            ("18446744073709551615.00", u128::from(u64::MAX)),
            ("340282366920938463463374607431768211455", u128::MAX),
            ("34028236692093846346337460743176821145.5e1", u128::MAX),
            ("1e38", 10_u128.pow(38)),
            ("100e-2", 1),
        ];
        for (text, value) in positive {
            assert_eq!(parse(text), Ok(Integer::Positive(value)), "{text}");
        }
        assert_eq!(parse("-1.0"), Ok(Integer::Negative(-1)));
        assert_eq!(parse("-17014118346046923173168730371588410572.8e1"), Ok(Integer::Negative(i128::MIN)));
        for text in
            ["1.5", "-0.5", "1e-1", "4503599627370496.5", "1e-400", "0.1e-99999999999999999999", "15e-1"]
        {
            assert_eq!(parse(text), Err(NotAnInteger::HasFraction), "{text}");
        }
        for text in ["1e400", "1e99999999999999999999", "340282366920938463463374607431768211456", "1e39"] {
            assert_eq!(parse(text), Err(NotAnInteger::TooLarge), "{text}");
        }
    }

    #[test]
    fn only_integers_are_rewritten_and_strings_are_not_looked_into() {
        let json = r#"{"a\"1.0":[1.0,-2e1,0.5,1e400,"2.0\\",-0],"b":3}"#;
        let plain = r#"{"a\"1.0":[1,-20,0.5,1e400,"2.0\\",0],"b":3}"#;
        assert_eq!(in_plain_form(json).as_deref(), Some(plain));
        assert_eq!(in_plain_form(plain), None);
    }

    proptest! {
        /// However an integer is written, it is the same integer.
        #[test]
        fn the_form_of_an_integer_does_not_matter(number in any::<u64>(), shift in 0_usize..25, zeros in 0_usize..5) {
            let mut digits = format!("{number:0>width$}", width = shift + 1);
            digits.insert(digits.len() - shift, '.');
            let text = format!("{digits}{}e{shift}", "0".repeat(zeros + 1));
            prop_assert_eq!(parse(&text), Ok(Integer::Positive(u128::from(number))), "{}", text);
        }
    }
}
