//! What an operator decides: which side a field belongs to, and whether a deletion is followed.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::in_force::holds;
use crate::record::{Field, Fields};

use super::rules::Rule;

/// What one direction of the sync has been told.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Policy {
    pub owners: Owners,
    pub deletes: Deletes,
}

impl Policy {
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// As the flags that say it.
impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let deletes = match self.deletes {
            Deletes::Mirror => "mirror",
            Deletes::Keep => "keep",
        };
        write!(f, "--deletes {deletes}")?;
        let metadata = ("metadata".to_owned(), self.owners.metadata);
        let metadata = Some(metadata).filter(|(_, owner)| *owner != Owner::Both);
        let named = self.owners.named.iter().map(|(field, owner)| (field.to_string(), *owner));
        for (n, (field, owner)) in metadata.into_iter().chain(named).enumerate() {
            let owner = match owner {
                Owner::Both => "both",
                Owner::Catalog => "catalog",
                Owner::Stripe => "stripe",
            };
            write!(f, "{}{field}={owner}", if n == 0 { " --owner " } else { "," })?;
        }
        Ok(())
    }
}

/// Is a deletion on one side followed on the other?
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Deletes {
    #[default]
    Mirror,
    /// The other side keeps the customer.
    Keep,
}

impl FromStr for Deletes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "mirror" => Ok(Self::Mirror),
            "keep" => Ok(Self::Keep),
            _ => Err(format!("{text:?} is neither \"mirror\" nor \"keep\"")),
        }
    }
}

/// Who may edit a field.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Owner {
    #[default]
    Both,
    /// An edit at Stripe is undone.
    Catalog,
    /// The API refuses to change it.
    Stripe,
}

/// The owner of each field; of a metadata key not named, that of all metadata.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Owners {
    named: BTreeMap<Field, Owner>,
    metadata: Owner,
}

impl Owners {
    pub fn of(&self, field: &Field) -> Owner {
        match (self.named.get(field), field) {
            (Some(owner), _) => *owner,
            (None, Field::Metadata(_)) => self.metadata,
            (None, _) => Owner::Both,
        }
    }

    /// The fields that a write by the API would change and may not: those of a customer as it is
    /// (`None`: it is new) that belong to Stripe and differ in `wanted`.
    pub fn refused(&self, before: Option<&Fields>, wanted: &Fields) -> Vec<Field> {
        let none = Fields::new();
        let mut changed = before.unwrap_or(&none).differing(wanted);
        changed.retain(|field| self.of(field) == Owner::Stripe && holds(Rule::StripeOwned));
        changed
    }
}

impl FromIterator<(Field, Owner)> for Owners {
    fn from_iter<I: IntoIterator<Item = (Field, Owner)>>(named: I) -> Self {
        Self { named: named.into_iter().collect(), metadata: Owner::Both }
    }
}

impl FromStr for Owners {
    type Err = String;

    /// Reads `email=catalog,metadata=stripe,metadata.plan=both`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut owners = Self::default();
        for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            let (field, owner) =
                item.split_once('=').ok_or_else(|| format!("{item:?} is not FIELD=OWNER"))?;
            let owner = match owner {
                "both" => Owner::Both,
                "catalog" => Owner::Catalog,
                "stripe" => Owner::Stripe,
                _ => return Err(format!("{owner:?} is none of catalog, stripe and both")),
            };
            if field == "metadata" {
                owners.metadata = owner;
                continue;
            }
            match field.parse::<Field>()? {
                Field::Stamp => return Err("the stamp is nobody's to edit".into()),
                field => owners.named.insert(field, owner),
            };
        }
        Ok(owners)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owners(text: &str) -> Owners {
        text.parse().expect("reads")
    }

    fn key(name: &str) -> Field {
        Field::Metadata(name.into())
    }

    #[test]
    fn a_metadata_key_goes_by_its_own_name_first_and_then_with_all_metadata() {
        let owners = owners("email=catalog, metadata=stripe,metadata.plan=both");
        let of = [Field::Email, key("plan"), key("tier"), Field::Name].map(|f| owners.of(&f));
        assert_eq!(of, [Owner::Catalog, Owner::Both, Owner::Stripe, Owner::Both]);
    }

    #[test]
    fn what_does_not_read_is_refused_with_the_reason() {
        for text in ["email", "email=me", "fax=catalog", "stamp=catalog", "metadata.=stripe"] {
            assert!(text.parse::<Owners>().is_err(), "{text}");
        }
        assert_eq!("".parse(), Ok(Owners::default()));
    }

    #[test]
    fn a_policy_is_shown_as_the_flags_that_say_it() {
        let policy = |owners: &str, deletes| Policy { owners: self::owners(owners), deletes };
        let said = policy("phone=stripe,metadata.plan=both,metadata=stripe", Deletes::Keep);
        let text = said.to_string();
        let owner = text.strip_prefix("--deletes keep --owner ").expect("both are named");
        assert_eq!(policy(owner, Deletes::Keep), said);
        assert!(!said.is_default() && policy("", Deletes::Mirror).is_default());
    }

    #[test]
    fn only_a_change_of_a_field_of_stripes_is_refused() {
        let owners = owners("phone=stripe,metadata=stripe");
        let mut before = Fields::new();
        before.set_text(Field::Phone, "1");
        before.set_text(key("k"), "v");
        let mut wanted = before.clone();
        wanted.set_text(Field::Name, "Ada");
        assert!(owners.refused(Some(&before), &wanted).is_empty());
        wanted.set(Field::Phone, None);
        wanted.set_text(key("k"), "w");
        assert_eq!(owners.refused(Some(&before), &wanted), [Field::Phone, key("k")]);
        assert_eq!(owners.refused(None, &before), [Field::Phone, key("k")]);
    }
}
