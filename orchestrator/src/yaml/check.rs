//! Checks of a tree against the table: parameters are substituted, paths resolved, and all misfits reported.

use super::kinds::{NODE, is_knob};
use super::parameters::Parameters;
use super::template::{TemplateError, bind_expression, substitute};
use super::values::coerce::{Refusal, coerce, expected};
use super::values::fields::{Field, MapType, ObjectSchema, Presence, Type};
use super::values::nearest::{help_among, nearest};
use super::values::report::{Finding, Place, Report};
use super::values::tree::{Entry, Scalar, Value, YamlNode, quoted};

/// Walks a tree along the table.
pub(crate) struct Checker<'a> {
    pub(crate) report: &'a mut Report,
    /// None while parameters have no values yet: `${name}` is not replaced then.
    pub(crate) parameters: Option<&'a Parameters>,
    /// Owner of the part being checked, for messages: `node "speed"`.
    scope: String,
}

impl<'a> Checker<'a> {
    pub(crate) fn new(report: &'a mut Report, parameters: Option<&'a Parameters>, scope: &str) -> Self {
        Self { report, parameters, scope: scope.to_owned() }
    }

    /// Checks the value of a key; `at` is the key's place. Returns true if all of it is valid.
    pub(crate) fn value(&mut self, node: &mut YamlNode, value: &Type, key: &str, at: Place) -> bool {
        match value {
            Type::Anything => true,
            Type::Record(schema) if schema.named => {
                self.within(key.to_owned(), |c| c.record(node, schema, at))
            }
            Type::Record(schema) => self.record(node, schema, at),
            Type::Map(free) => self.map(node, free, key),
            Type::List(item) => self.list(node, item, key, at),
            Type::Data => self.data(node, key),
            Type::Either(types) => {
                let list = types.iter().find(|t| matches!(t, Type::List(_)));
                match (list, &node.value) {
                    (Some(list), Value::Sequence(_)) => self.value(node, list, key, at),
                    _ => self.scalar(node, types, key),
                }
            }
            single => self.scalar(node, std::slice::from_ref(single), key),
        }
    }

    fn within(&mut self, scope: String, check: impl FnOnce(&mut Self) -> bool) -> bool {
        let outer = std::mem::replace(&mut self.scope, scope);
        let sound = check(self);
        self.scope = outer;
        sound
    }

    fn error(&mut self, finding: Finding) -> bool {
        self.report.push(finding);
        false
    }

    fn wrong(&mut self, node: &YamlNode, key: &str, expected: &str, help: Option<String>) -> bool {
        let message = format!("{key} in {}: found {}, expected {expected}", self.scope, node.describe());
        self.error(Finding::error(node.place, message).maybe_help(help))
    }

    fn list(&mut self, node: &mut YamlNode, item: &Type, key: &str, at: Place) -> bool {
        let Value::Sequence(items) = &mut node.value else {
            let help =
                node.scalar().filter(|s| **s != Scalar::Null).map(|s| format!("write [{}]", cut(&s.text())));
            return self.wrong(node, key, "a list", help);
        };
        // Every item is checked: all errors are reported together.
        let mut sound = true;
        for node in items {
            sound &= self.value(node, item, key, at);
        }
        sound
    }

    fn map(&mut self, node: &mut YamlNode, free: &MapType, key: &str) -> bool {
        let Value::Mapping(entries) = &mut node.value else {
            return self.wrong(node, key, &format!("a mapping with a {} on each line", free.what), None);
        };
        let mut sound = true;
        for entry in entries {
            let at = entry.key_place;
            if entry.key.contains("${") && self.parameters.is_some() {
                let message =
                    format!("{} in {}: parameters are not replaced in keys", quoted(&entry.key), self.scope);
                self.report.push(Finding::warning(at, message));
            }
            sound &= if free.named {
                let scope = format!("{} {}", free.what, quoted(&entry.key));
                self.within(scope, |c| c.value(&mut entry.value, &free.value, &entry.key, at))
            } else {
                let key = format!("{key} ({})", cut(&entry.key));
                self.value(&mut entry.value, &free.value, &key, at)
            };
        }
        sound
    }

    /// Checks a value of a row. The recursion is bounded by the depth of the file.
    fn data(&mut self, node: &mut YamlNode, key: &str) -> bool {
        let values: Vec<&mut YamlNode> = match &mut node.value {
            Value::Sequence(items) => items.iter_mut().collect(),
            Value::Mapping(entries) => entries.iter_mut().map(|e| &mut e.value).collect(),
            Value::Scalar(_) | Value::Path(_) => return self.scalar(node, &[Type::Data], key),
        };
        let mut sound = true;
        for value in values {
            sound &= self.data(value, key);
        }
        sound
    }

    /// Checks a mapping with known keys. Fields that are read before parameters have values are
    /// left to [`Checker::fixed_fields`].
    pub(crate) fn record(&mut self, node: &mut YamlNode, schema: &'static ObjectSchema, at: Place) -> bool {
        let place = node.place;
        let Value::Mapping(entries) = &mut node.value else {
            let keys: Vec<&str> = schema.fields.iter().filter(|f| !f.reserved).map(|f| f.key).collect();
            let message =
                format!("{}: found {} as {}, expected a mapping", self.scope, node.describe(), schema.name);
            return self
                .error(Finding::error(place, message).help(format!("its keys are {}", keys.join(", "))));
        };
        let mut keys = Keys::default();
        let mut sound = true;
        for entry in &mut *entries {
            sound &= match schema.field(&entry.key) {
                None => self.unknown_key(entry, schema, &mut keys),
                Some(field) if field.reserved => self.reserved_key(entry, field, schema, &mut keys),
                Some(field) => {
                    keys.note(field, entry.key_place);
                    field.fixed || self.value(&mut entry.value, &field.value, field.key, entry.key_place)
                }
            };
        }
        let at = if at.line == 0 { place } else { at };
        self.missing_keys(schema, &keys, at) && self.alternatives(schema, &keys, at) && sound
    }

    /// Checks the fields that are read before parameters have values.
    pub(crate) fn fixed_fields(&mut self, node: &mut YamlNode, schema: &'static ObjectSchema) {
        let Value::Mapping(entries) = &mut node.value else { return };
        for entry in entries {
            if let Some(field) = schema.field(&entry.key).filter(|f| f.fixed) {
                self.value(&mut entry.value, &field.value, field.key, entry.key_place);
            }
        }
    }

    fn unknown_key(&mut self, entry: &Entry, schema: &'static ObjectSchema, keys: &mut Keys) -> bool {
        keys.unknown = true;
        let finding =
            Finding::error(entry.key_place, format!("unknown key {} in {}", quoted(&entry.key), self.scope));
        if self.report.is_full() {
            return self.error(finding);
        }
        let known = schema.fields.iter().filter(|f| !f.reserved).map(|f| f.key);
        keys.meant.extend(nearest(&entry.key, known.clone()));
        let help = if is_knob(&entry.key) && schema.name != NODE.name {
            format!("{} stands beside the kind, not in it", quoted(&entry.key))
        } else {
            help_among(&entry.key, known, "keys")
        };
        self.error(finding.help(help))
    }

    fn reserved_key(
        &mut self,
        entry: &Entry,
        field: &'static Field,
        schema: &'static ObjectSchema,
        keys: &mut Keys,
    ) -> bool {
        keys.note(field, entry.key_place);
        let message = format!("{}: this version does not have {} yet", self.scope, quoted(field.key));
        let help = (field.presence == Presence::Alternative)
            .then(|| format!("it has {}", schema.alternatives().collect::<Vec<_>>().join(", ")));
        self.error(Finding::error(entry.key_place, message).maybe_help(help))
    }

    fn missing_keys(&mut self, schema: &'static ObjectSchema, keys: &Keys, at: Place) -> bool {
        let mut sound = true;
        for field in schema.fields.iter().filter(|f| f.presence == Presence::Required) {
            // A misspelled key is reported already. Without this version's kind the rest is irrelevant.
            if keys.has(field.key) || keys.meant.contains(&field.key) || keys.reserved {
                continue;
            }
            let message = format!("missing key {} in {}", quoted(field.key), self.scope);
            sound = self.error(Finding::error(at, message).help(format!(
                "add `{}`: {}",
                field.key,
                first_words(field.doc)
            )));
        }
        sound
    }

    fn alternatives(&mut self, schema: &'static ObjectSchema, keys: &Keys, at: Place) -> bool {
        if schema.choice.is_empty() {
            return true;
        }
        match keys.alternatives.as_slice() {
            [_] => true,
            [] if keys.unknown => false,
            [] => {
                let message = format!("found no {} in {}, expected exactly one", schema.choice, self.scope);
                let known: Vec<&str> = schema.alternatives().collect();
                self.error(Finding::error(at, message).help(format!("add one of {}", known.join(", "))))
            }
            [(first, first_place), (second, place), ..] => {
                let message = format!(
                    "found two of {} in {}, {} and {}, expected exactly one",
                    schema.choice,
                    self.scope,
                    quoted(first),
                    quoted(second)
                );
                self.error(Finding::error(*place, message).note(*first_place, "the first is here"))
            }
        }
    }

    fn scalar(&mut self, node: &mut YamlNode, types: &[Type], key: &str) -> bool {
        if let Some(used) = secret_use(node) {
            return self.secret(node.place, &used, key);
        }
        let Value::Scalar(scalar) = &node.value else {
            return self.wrong(node, key, &words(types), None);
        };
        let expression = matches!(types, [Type::Expression]);
        let replaced = match (scalar, self.parameters) {
            (Scalar::Text(text), Some(parameters)) if text.contains("${") => {
                if expression {
                    bind_expression(text, parameters).map(Scalar::Text)
                } else {
                    substitute(text, parameters)
                }
            }
            (scalar, _) => Ok(scalar.clone()),
        };
        match replaced {
            Ok(scalar) => node.value = Value::Scalar(scalar),
            Err(error) => return self.template_error(node.place, key, error),
        }
        self.coerce(node, types, key)
    }

    fn template_error(&mut self, place: Place, key: &str, error: TemplateError) -> bool {
        let (message, help) = match error {
            TemplateError::Reported => return false,
            TemplateError::New { message, help } => (message, help),
            TemplateError::Unknown { name } => {
                let parameters = self.parameters.filter(|_| !self.report.is_full());
                let help = parameters.map(|p| p.help(&name));
                (format!("there is no parameter {}", quoted(&name)), help)
            }
        };
        let message = format!("{key} in {}: {message}", self.scope);
        self.error(Finding::error(place, message).maybe_help(help))
    }

    fn coerce(&mut self, node: &mut YamlNode, types: &[Type], key: &str) -> bool {
        let Value::Scalar(scalar) = &node.value else { return true };
        let folder = self.report.folder(node.place.file);
        let mut refusal = Refusal::default();
        for candidate in types {
            match coerce(scalar, candidate, folder) {
                Ok(None) => return true,
                Ok(Some(value)) => {
                    node.value = value;
                    return true;
                }
                Err(refused) => refusal = refusal.or(refused),
            }
        }
        match refusal.message {
            Some(message) => {
                let message = format!("{key} in {}: {message}", self.scope);
                self.error(Finding::error(node.place, message).maybe_help(refusal.help))
            }
            None => self.wrong(node, key, &words(types), refusal.help),
        }
    }

    fn secret(&mut self, place: Place, name: &str, key: &str) -> bool {
        let finding = if let Some(help) = self.parameters.and_then(|p| p.unknown_secret(name)) {
            let message = format!("{key} in {}: there is no secret {}", self.scope, quoted(name));
            Finding::error(place, message).help(help)
        } else {
            let message = format!("{key} in {}: found a secret, expected a plain value", self.scope);
            Finding::error(place, message).help("no kind of node of this version takes a secret")
        };
        self.error(finding)
    }
}

/// Keys that a mapping has.
#[derive(Default)]
struct Keys {
    present: Vec<&'static str>,
    alternatives: Vec<(&'static str, Place)>,
    /// Keys for which an unknown one is probably a misspelling.
    meant: Vec<&'static str>,
    unknown: bool,
    /// True if the alternative is one that this version does not have.
    reserved: bool,
}

impl Keys {
    fn note(&mut self, field: &'static Field, place: Place) {
        self.present.push(field.key);
        if field.presence == Presence::Alternative {
            self.alternatives.push((field.key, place));
            self.reserved |= field.reserved;
        }
    }

    fn has(&self, key: &str) -> bool {
        self.present.contains(&key)
    }
}

fn words(types: &[Type]) -> String {
    types.iter().map(expected).collect::<Vec<_>>().join(" or ")
}

/// Returns the name in `{ secret: name }`.
fn secret_use(node: &YamlNode) -> Option<String> {
    match node.entries() {
        [entry] if entry.key == "secret" => entry.value.scalar().map(Scalar::text),
        _ => None,
    }
}

/// Returns the first clause of a field's description.
fn first_words(doc: &str) -> &str {
    doc.split(['.', ';']).next().unwrap_or(doc)
}

fn cut(text: &str) -> String {
    text.chars().take(60).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
