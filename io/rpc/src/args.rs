//! Arguments of a call: by position or by name, typed on demand, with errors that name the argument.

use crate::{failure::Failure, submit::Submission, table::Param};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Arguments that were not taken yet.
#[derive(Debug)]
pub(crate) struct Args {
    names: &'static [Param],
    values: std::vec::IntoIter<Value>,
    next: usize,
    /// The transaction of this call, if its batch was prepared.
    pub(crate) submission: Option<Submission>,
}

impl Args {
    /// Reads the `params` member of a request.
    ///
    /// # Errors
    /// Not an array or object, an unknown name, or more values than the method takes.
    pub(crate) fn parse(json: Option<&str>, names: &'static [Param]) -> Result<Self, Failure> {
        let invalid = |text: String| Failure::InvalidParams(text);
        let value = match json.map(str::trim) {
            None | Some("" | "[]" | "null") => Value::Null,
            Some(json) => serde_json::from_str(json).map_err(|e| invalid(e.to_string()))?,
        };
        let values = match value {
            Value::Null => Vec::new(),
            Value::Array(values) => values,
            Value::Object(mut named) => {
                let values =
                    names.iter().map(|p| named.remove(p.name).unwrap_or(Value::Null)).collect();
                if let Some(unknown) = named.keys().next() {
                    return Err(invalid(format!("unknown argument `{unknown}`")));
                }
                values
            }
            _ => return Err(invalid("non-array args".to_owned())),
        };
        if values.len() > names.len() {
            return Err(invalid(format!("too many arguments, want at most {}", names.len())));
        }
        Ok(Self { names, values: values.into_iter(), next: 0, submission: None })
    }

    /// Takes the next argument.
    ///
    /// # Errors
    /// It is missing, null, or of another type.
    pub(crate) fn required<T: DeserializeOwned>(&mut self) -> Result<T, Failure> {
        let index = self.next;
        self.optional()?.ok_or_else(|| {
            Failure::InvalidParams(format!(
                "missing value for required argument {index} ({})",
                self.name(index)
            ))
        })
    }

    /// Takes the next argument, which may be missing or null.
    ///
    /// # Errors
    /// It is of another type.
    pub(crate) fn optional<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Failure> {
        let index = self.next;
        self.next += 1;
        match self.values.next() {
            None | Some(Value::Null) => Ok(None),
            Some(value) => serde_json::from_value(value).map(Some).map_err(|error| {
                Failure::InvalidParams(format!(
                    "invalid argument {index} ({}): {error}",
                    self.name(index)
                ))
            }),
        }
    }

    fn name(&self, index: usize) -> &'static str {
        self.names.get(index).map_or("?", |param| param.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{optional, required};
    use alloy_primitives::{Address, U64};

    const PARAMS: &[Param] = &[required("address", "Address"), optional("count", "Quantity")];

    fn take(json: Option<&str>) -> Result<(Address, Option<U64>), String> {
        let text = |e: Failure| e.to_string();
        let mut args = Args::parse(json, PARAMS).map_err(text)?;
        Ok((args.required().map_err(text)?, args.optional().map_err(text)?))
    }

    #[test]
    fn arguments_come_by_position_or_by_name() {
        let zero = format!("{:?}", Address::ZERO);
        let ok = |count: Option<u64>| Ok((Address::ZERO, count.map(U64::from)));
        assert_eq!(take(Some(&format!("[\"{zero}\"]"))), ok(None));
        assert_eq!(take(Some(&format!("[\"{zero}\", null]"))), ok(None));
        assert_eq!(take(Some(&format!("[\"{zero}\", \"0x5\"]"))), ok(Some(5)));
        assert_eq!(
            take(Some(&format!("{{\"count\":\"0x5\",\"address\":\"{zero}\"}}"))),
            ok(Some(5))
        );
    }

    #[test]
    fn errors_name_the_argument() {
        for (json, expected) in [
            (None, "missing value for required argument 0 (address)"),
            (Some("[null]"), "missing value for required argument 0 (address)"),
            (Some("[1,2,3]"), "too many arguments, want at most 2"),
            (Some("7"), "non-array args"),
            (Some("{\"adress\":1}"), "unknown argument `adress`"),
        ] {
            assert_eq!(take(json).expect_err("refused"), expected);
        }
        let error = take(Some("[\"0x12\"]")).expect_err("refused");
        assert!(error.starts_with("invalid argument 0 (address): "), "{error}");
    }
}
