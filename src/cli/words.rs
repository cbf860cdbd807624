//! Words that git gets as the user typed them: options first, then `--`, so that nothing else is taken for one.

/// A remote or what to move. git would take what begins with a dash for an option of its own.
pub fn no_option(typed: &str) -> Result<String, String> {
    match typed.starts_with('-') {
        true => {
            Err("it begins like an option; what git alone knows is for `git push` and `git pull`".to_owned())
        }
        false => Ok(typed.to_owned()),
    }
}

/// The options that are set.
pub fn set<const N: usize>(options: [(&str, bool); N]) -> Vec<String> {
    options.into_iter().filter(|(_, is_set)| *is_set).map(|(option, _)| option.to_owned()).collect()
}

/// An option that may have a value.
pub fn with_value(option: &str, typed: &Option<Option<String>>) -> Option<String> {
    typed.as_ref().map(|value| match value {
        Some(value) => format!("{option}={value}"),
        None => option.to_owned(),
    })
}

/// Options, and what is none.
pub fn closed<'w>(options: Vec<String>, rest: impl Iterator<Item = &'w String>) -> Vec<String> {
    options.into_iter().chain(["--".to_owned()]).chain(rest.cloned()).collect()
}
