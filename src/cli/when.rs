//! Times as users read them.

use std::time::Duration;

pub use crate::chance::utc;

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
}
