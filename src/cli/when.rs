//! Times as users read them.

use std::time::Duration;

use jiff::Timestamp;

/// A length of time as users type it: a number and `s`, `m`, `h`, `d` or `w`; `0` needs no letter.
pub fn duration(typed: &str) -> Result<Duration, String> {
    let wrong = || "a number and s, m, h, d or w, as in 90m, 12h or 30d".to_owned();
    let (digits, unit) = typed.split_at(typed.find(|c: char| !c.is_ascii_digit()).unwrap_or(typed.len()));
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "" if number == 0 => 0,
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        "w" => 7 * 24 * 3600,
        _ => return Err(wrong()),
    };
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong)
}

/// Milliseconds since 1970 as RFC 3339, in UTC: the same everywhere, and sorted as text.
pub fn utc(millis: u64) -> String {
    let time = i64::try_from(millis).ok().and_then(|millis| Timestamp::from_millisecond(millis).ok());
    time.map_or_else(|| "unknown".to_owned(), |time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_have_a_unit() {
        for (typed, seconds) in
            [("0", 0), ("0d", 0), ("45s", 45), ("90m", 5400), ("12h", 43_200), ("2w", 1_209_600)]
        {
            assert_eq!(duration(typed), Ok(Duration::from_secs(seconds)), "{typed}");
        }
        for wrong in
            ["", "d", "7", "-1d", "1.5h", "1 d", "1D", "99999999999999999999d", "999999999999999999w"]
        {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_are_in_utc() {
        assert_eq!(utc(1_700_000_000_123), "2023-11-14T22:13:20Z");
        assert_eq!(utc(u64::MAX), "unknown");
    }
}
