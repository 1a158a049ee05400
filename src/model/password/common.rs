//! The passwords that are tried first, described rather than listed: words that head every published list, and what
//! people do to them (capitals, digits for letters, a number or sign at an end, doubling), keys in a row, counting,
//! repetition, dates. It covers far more than the hundred thousand commonest, but is no copy of any of the lists, and a
//! single entry of one may be missing here.

/// Words that people make passwords of, lower case, one per line.
const WORDS: &str = include_str!("words.txt");

/// How many digits and signs around a word change nothing.
const AROUND: usize = 4;

/// Keys that lie in a row or column, and what people count.
const ROWS: &[&str] = &[
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890123456789",
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "qwertzuiop",
    "azertyuiop",
    "qsdfghjklm",
    "yxcvbnm",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm",
    "1q2w3e4r5t6y7u8i9o0p",
    "q1w2e3r4t5y6u7i8o9p0",
    "qazwsxedcrfvtgbyhnujm",
    "!@#$%^&*()",
    "147258369",
    "159753",
    "11223344556677889900",
];

/// True for a password that many people have.
pub(super) fn is_common(password: &str) -> bool {
    let lower = password.to_lowercase();
    is_repetition(&lower) || is_date(&lower) || is_walk(&lower) || is_word(&lower)
}

/// `aaaaaaaa`, `abcabcabc`, `12121212`; and anything of two characters.
fn is_repetition(text: &str) -> bool {
    let letters: Vec<char> = text.chars().collect();
    let mut different = letters.clone();
    different.sort_unstable();
    different.dedup();
    let repeats = |unit: usize| letters.iter().zip(letters.iter().skip(unit)).all(|(a, b)| a == b);
    different.len() <= 2 || (1..=letters.len() / 2).filter(|unit| *unit <= 4).any(repeats)
}

/// Six to eight digits, with or without separators: somebody's day.
fn is_date(text: &str) -> bool {
    let digits = text.chars().filter(char::is_ascii_digit).count();
    (6..=8).contains(&digits) && text.chars().all(|letter| letter.is_ascii_digit() || "./- ".contains(letter))
}

/// Pieces of at least three keys in a row, forwards or backwards, from the first to the last.
fn is_walk(text: &str) -> bool {
    let mut rest: Vec<char> = text.chars().collect();
    while !rest.is_empty() {
        let piece = (3..=rest.len()).rev().find(|length| {
            let forwards: String = rest.iter().take(*length).collect();
            let backwards: String = forwards.chars().rev().collect();
            ROWS.iter().any(|row| row.contains(&forwards) || row.contains(&backwards))
        });
        match piece {
            Some(length) => rest.drain(..length),
            None => return false,
        };
    }
    true
}

/// A word, twice the word, or two words, with little around it.
fn is_word(text: &str) -> bool {
    let is_letter = |letter: char| letter.is_alphabetic();
    cores(text).any(|core| {
        let plain: String = core.chars().map(unfold).filter(|letter| is_letter(*letter)).collect();
        !plain.is_empty() && (is_listed(&plain) || is_two_words(&plain))
    })
}

/// What is left of a text without up to four digits or signs at each end: first all of them, then as few as there are
/// that stand for letters (`p@ssw0rd`, `passw0rd1`).
fn cores(text: &str) -> impl Iterator<Item = String> {
    let letters: Vec<char> = text.chars().collect();
    let edge = |mut letters: Box<dyn Iterator<Item = &char> + '_>| {
        letters.by_ref().take_while(|letter| !letter.is_alphabetic()).count()
    };
    let front = edge(Box::new(letters.iter())).min(AROUND);
    let back = edge(Box::new(letters.iter().rev())).min(AROUND);
    let mut cores = Vec::new();
    for start in 0..=front {
        for end in 0..=back {
            let length = letters.len().saturating_sub(start + end);
            cores.push(letters.iter().skip(start).take(length).collect::<String>());
        }
    }
    cores.into_iter()
}

/// The letter that a sign stands for.
fn unfold(letter: char) -> char {
    match letter {
        '0' => 'o',
        '1' | '!' => 'i',
        '3' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' => 't',
        other => other,
    }
}

fn is_listed(word: &str) -> bool {
    words().any(|listed| listed == word)
}

fn is_two_words(text: &str) -> bool {
    words().any(|first| text.strip_prefix(first).is_some_and(is_listed))
}

fn words() -> impl Iterator<Item = &'static str> {
    WORDS.lines().filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_people_do_to_words() {
        for common in [
            "password",
            "PASSWORD",
            "passw0rd",
            "p@ssword",
            "p@$$w0rd",
            "password1",
            "password123",
            "password1234",
            "123password",
            "password!",
            "!!password",
            "sunshine87",
            "dragon2024",
            "monkey12!",
            "iloveyou2",
            "letmein!",
            "football1",
            "passwordpassword",
            "sunshinedragon",
            "princess_1",
            "pass-word",
            "1password1",
        ] {
            assert!(is_common(common), "{common}");
        }
    }

    #[test]
    fn knows_keys_in_a_row_counting_repetition_and_days() {
        for common in [
            "12345678",
            "123456789",
            "87654321",
            "qwertyuiop",
            "qwerty123",
            "asdfghjkl",
            "1qaz2wsx",
            "1q2w3e4r5t",
            "zxcvbnm123",
            "qazwsxedc",
            "abcdefgh",
            "abcd1234",
            "abc123456",
            "11111111",
            "abababab",
            "aaaabbbb",
            "123123123",
            "asdfasdf",
            "01011990",
            "19900101",
            "1990-01-01",
            "24.12.1985",
            "!@#$%^&*",
            "147258369",
            "0987654321",
            "poiuytrewq",
            "11223344",
            "1122334455",
        ] {
            assert!(is_common(common), "{common}");
        }
    }

    #[test]
    fn lets_pass_what_nobody_shares() {
        for rare in [
            "kJ8#qx2z",
            "correct horse battery staple",
            "vK3-tulip-9917",
            "ü-Boot im Teich",
            "x7Qm!pLr0v",
            "three goats & a lamp",
            "blauwale fliegen nie",
            "8f3a91cc0d2e",
            "2718281828459",
        ] {
            assert!(!is_common(rare), "{rare}");
        }
    }

    #[test]
    fn the_list_is_words() {
        assert!(words().count() > 300);
        for word in words() {
            assert!(word.len() >= 3 && word.chars().all(|letter| letter.is_ascii_lowercase()), "{word}");
        }
    }

    /// How many strings of eight characters and more the words and their numbers alone describe.
    #[test]
    fn covers_more_than_a_hundred_thousand() {
        let plain = words().filter(|word| word.len() >= 4).count();
        let with_four_digits = plain * 10_000;
        assert!(with_four_digits > 100_000, "{with_four_digits}");
    }
}
