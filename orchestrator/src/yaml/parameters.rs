//! Parameters and secrets: their declarations and the sources of their values.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;

use super::values::nearest::help_among;
use super::values::number::Number;
use super::values::report::{Finding, Place, Report};
use super::values::tree::{Entry, Scalar, YamlNode, quoted};

/// The type of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ParameterType {
    String,
    Int,
    Float,
    Bool,
    Path,
}

impl ParameterType {
    fn read(name: &str) -> Option<Self> {
        Some(match name {
            "string" => Self::String,
            "int" => Self::Int,
            "float" => Self::Float,
            "bool" => Self::Bool,
            "path" => Self::Path,
            _ => return None,
        })
    }

    fn expected(self) -> &'static str {
        match self {
            Self::String => "a text",
            Self::Int => "an integer",
            Self::Float => "a number",
            Self::Bool => "true or false",
            Self::Path => "a path",
        }
    }

    /// Returns the value of a text without a type of its own: from the call or the environment.
    fn of_text(self, text: &str, folder: &Path) -> Option<Scalar> {
        match self {
            Self::String => Some(Scalar::Text(text.to_owned())),
            Self::Path => absolute(folder, text),
            Self::Int | Self::Float | Self::Bool => self.of_scalar(&Scalar::plain(text.trim()).ok()?, folder),
        }
    }

    /// Returns the value of a scalar in a file; only an integer is converted to another type.
    fn of_scalar(self, scalar: &Scalar, folder: &Path) -> Option<Scalar> {
        match (self, scalar) {
            (Self::String, Scalar::Text(_))
            | (Self::Int, Scalar::Integer(_))
            | (Self::Float, Scalar::Number(_))
            | (Self::Bool, Scalar::Bool(_)) => Some(scalar.clone()),
            (Self::Float, Scalar::Integer(value)) => Some(Scalar::Number(Number::with_fraction(*value))),
            (Self::Path, Scalar::Text(text)) => absolute(folder, text),
            _ => None,
        }
    }
}

/// Returns a path that has the same target in every file that uses the parameter.
fn absolute(folder: &Path, text: &str) -> Option<Scalar> {
    if text.is_empty() {
        return None;
    }
    let joined = folder.join(text);
    let path = std::path::absolute(&joined).unwrap_or(joined);
    Some(Scalar::Text(path.to_string_lossy().into_owned()))
}

#[derive(Debug)]
struct DeclaredParameter {
    kind: ParameterType,
    place: Place,
    value: Option<Scalar>,
    /// A wrong value was given and is reported; it is not missing.
    faulty: bool,
}

/// Result of looking up a name in `${name}`.
pub(crate) enum FoundParameter<'a> {
    Value(&'a Scalar),
    /// Declared, but without a value.
    NoValue,
    /// Its declaration or value is wrong, which is reported already.
    Faulty,
    Secret,
    Unknown,
}

/// The environment; none for that of the process.
type Environment<'a> = Option<&'a BTreeMap<String, String>>;

/// All parameters with their values, and the names of all secrets.
#[derive(Debug, Default)]
pub(crate) struct Parameters {
    declared: IndexMap<String, DeclaredParameter>,
    secrets: IndexMap<String, Place>,
    /// Environment variables that hold secrets.
    pub(crate) secret_variables: Vec<String>,
}

impl Parameters {
    /// Adds a declaration whose shape has been checked, with the value of its default or environment variable.
    pub(crate) fn declare(&mut self, report: &mut Report, entry: &Entry, environment: Environment<'_>) {
        let place = entry.key_place;
        if let Some(first) = self.declared.get(&entry.key) {
            report_duplicate(report, "parameter", entry, first.place);
            return;
        }
        let kind = entry.value.get("type").and_then(YamlNode::text).and_then(ParameterType::read);
        let mut declared = DeclaredParameter {
            kind: kind.unwrap_or(ParameterType::String),
            place,
            value: None,
            faulty: kind.is_none(),
        };
        if !declared.faulty {
            declared.take_default(report, &entry.key, &entry.value);
            declared.take_environment(report, entry, environment);
        }
        self.declared.insert(entry.key.clone(), declared);
    }

    /// Adds a secret by name. Its value would be read at its use; this version has none.
    pub(crate) fn declare_secret(&mut self, report: &mut Report, entry: &Entry) {
        self.secret_variables.extend(entry.value.get("env").and_then(YamlNode::text).map(str::to_owned));
        match self.secrets.get(&entry.key) {
            Some(first) => report_duplicate(report, "secret", entry, *first),
            None => {
                self.secrets.insert(entry.key.clone(), entry.key_place);
            }
        }
    }

    /// Sets the values of a file of parameters: a mapping from name to value.
    pub(crate) fn take_file(&mut self, report: &mut Report, root: &YamlNode) {
        for entry in root.entries() {
            let place = entry.value.place;
            let folder = report.folder(place.file).to_owned();
            let found = entry.value.describe();
            let read = |kind: ParameterType| kind.of_scalar(entry.value.scalar()?, &folder);
            self.take(report, &entry.key, entry.key_place, (place, &found), read);
        }
    }

    /// Sets the values that the call gives.
    pub(crate) fn take_call(&mut self, report: &mut Report, set: &[(String, String)]) {
        for (name, value) in set {
            let file = report.add_file("--set".to_owned(), PathBuf::new(), format!("{name}={value}"));
            let at = |column: usize, text: &str| Place {
                file,
                line: 1,
                column,
                length: text.chars().count().max(1),
            };
            let (name_place, value_place) = (at(1, name), at(name.chars().count() + 2, value));
            let found = format!("text {}", quoted(value));
            let read = |kind: ParameterType| kind.of_text(value, Path::new(""));
            self.take(report, name, name_place, (value_place, &found), read);
        }
    }

    fn take(
        &mut self,
        report: &mut Report,
        name: &str,
        name_place: Place,
        value: (Place, &str),
        read: impl Fn(ParameterType) -> Option<Scalar>,
    ) {
        let Some(declared) = self.declared.get_mut(name) else {
            let finding = Finding::error(name_place, format!("there is no parameter {}", quoted(name)));
            let help = (!report.is_full()).then(|| self.help(name));
            report.push(finding.maybe_help(help));
            return;
        };
        if declared.faulty && declared.value.is_none() {
            return;
        }
        declared.value = read(declared.kind);
        if declared.value.is_none() {
            declared.faulty = true;
            let expected = declared.kind.expected();
            let message = format!("parameter {}: found {}, expected {expected}", quoted(name), value.1);
            report.push(Finding::error(value.0, message).note(declared.place, "it is declared here"));
        }
    }

    /// Reports every parameter without a value.
    pub(crate) fn require_values(&mut self, report: &mut Report) {
        for (name, declared) in &mut self.declared {
            if declared.value.is_none() && !declared.faulty {
                declared.faulty = true;
                let message = format!("parameter {} has no value", quoted(name));
                let help = format!("give a `default`, or call with --set {name}=VALUE");
                report.push(Finding::error(declared.place, message).help(help));
            }
        }
    }

    pub(crate) fn find(&self, name: &str) -> FoundParameter<'_> {
        match self.declared.get(name) {
            Some(DeclaredParameter { value: Some(value), .. }) => FoundParameter::Value(value),
            Some(DeclaredParameter { faulty: true, .. }) => FoundParameter::Faulty,
            Some(_) => FoundParameter::NoValue,
            None if self.secrets.contains_key(name) => FoundParameter::Secret,
            None => FoundParameter::Unknown,
        }
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.declared.keys().cloned().collect()
    }

    /// Returns help for a parameter's name that does not exist.
    pub(crate) fn help(&self, wanted: &str) -> String {
        help_among(wanted, self.declared.keys().map(String::as_str), "parameters")
    }

    /// Returns a help for the name of a secret that is not declared; none for one that is.
    pub(crate) fn unknown_secret(&self, wanted: &str) -> Option<String> {
        let help = || help_among(wanted, self.secrets.keys().map(String::as_str), "secrets");
        (!self.secrets.contains_key(wanted)).then(help)
    }
}

impl DeclaredParameter {
    fn take_default(&mut self, report: &mut Report, name: &str, body: &YamlNode) {
        let Some(default) = body.get("default") else { return };
        if default.text().is_some_and(|text| text.contains("${")) {
            self.faulty = true;
            let message = format!("default of parameter {} refers to a parameter", quoted(name));
            report.push(Finding::error(default.place, message).help("write its value out"));
            return;
        }
        let folder = report.folder(default.place.file);
        self.value = default.scalar().and_then(|scalar| self.kind.of_scalar(scalar, folder));
        if self.value.is_none() {
            self.faulty = true;
            let (found, expected) = (default.describe(), self.kind.expected());
            let message =
                format!("default of parameter {}: found {found}, expected {expected}", quoted(name));
            let help = matches!(default.scalar(), Some(s) if self.kind == ParameterType::String && *s != Scalar::Null)
                .then(|| "put it in quotes".to_owned());
            report.push(Finding::error(default.place, message).maybe_help(help));
        }
    }

    fn take_environment(&mut self, report: &mut Report, entry: &Entry, environment: Environment<'_>) {
        let Some(variable) = entry.value.get("env") else { return };
        let Some(text) = variable.text().and_then(|name| variable_value(name, environment)) else { return };
        let value = self.kind.of_text(&text, Path::new(""));
        if value.is_none() {
            self.faulty = true;
            let message = format!(
                "parameter {}: found {} in the environment, expected {}",
                quoted(&entry.key),
                quoted(&text),
                self.kind.expected()
            );
            report.push(Finding::error(variable.place, message));
        }
        self.value = value;
    }
}

fn variable_value(name: &str, environment: Environment<'_>) -> Option<String> {
    match environment {
        Some(given) => given.get(name).cloned(),
        None if name.is_empty() || name.contains(['=', '\0']) => None,
        None => std::env::var(name).ok(),
    }
}

/// Reports a name that is declared twice, with both places.
pub(crate) fn report_duplicate(report: &mut Report, what: &str, entry: &Entry, first: Place) {
    let message = format!("{what} {} is declared twice", quoted(&entry.key));
    let finding = Finding::error(entry.key_place, message).help("rename or remove one");
    report.push(finding.note(first, "it is first declared here"));
}
