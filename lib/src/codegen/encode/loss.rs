//! A serializer that writes nothing and finds the first value that JSON would turn into another.

use std::cell::Cell;
use std::fmt;

use serde::ser::{
    Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

/// The name under which `serde_json::value::RawValue` serializes its text.
const RAW_VALUE: &str = "$serde_json::private::RawValue";

/// A value that JSON would turn into another, and where it stands.
#[derive(Debug)]
pub(crate) struct Loss {
    what: &'static str,
    /// The steps to it, the last one first.
    steps: Vec<String>,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path: String = self.steps.iter().rev().map(String::as_str).collect();
        match path.trim_start_matches('.') {
            "" => f.write_str(self.what),
            path => write!(f, "`{}`: {}", crate::log::brief(path), self.what),
        }
    }
}

impl std::error::Error for Loss {}

impl serde::ser::Error for Loss {
    /// The same failed, or did not, when the JSON was written.
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self { what: "the value cannot be encoded", steps: Vec::new() }
    }
}

impl Loss {
    #[cold]
    fn within(mut self, step: String) -> Self {
        self.steps.push(step);
        self
    }
}

/// The first loss in `message`.
pub(super) fn find<T: Serialize + ?Sized>(message: &T) -> Option<Loss> {
    message.serialize(Walk { place: Place::Plain, tally: None }).err()
}

/// A number that two messages share which have the same options and the same numbers that are not finite.
pub(super) fn tally<T: Serialize + ?Sized>(message: &T) -> u64 {
    let tally = Cell::new(0);
    // Without an error there is nothing but the tally.
    let _none = message.serialize(Walk { place: Place::Plain, tally: Some(&tally) });
    tally.get()
}

/// Where a value stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Plain,
    /// Directly within `Some`, where null would say that there is none.
    Some,
    /// It is the text of raw JSON that stands directly within `Some`.
    RawInSome,
}

#[derive(Clone, Copy)]
struct Walk<'a> {
    place: Place,
    /// Where to count what may be lost, instead of failing.
    tally: Option<&'a Cell<u64>>,
}

impl<'a> Walk<'a> {
    fn at(self, place: Place) -> Self {
        Self { place, ..self }
    }

    fn fields(self, place: Place) -> Result<Fields<'a>, Loss> {
        Ok(Fields { walk: self.at(place), count: 0, key: String::new() })
    }

    /// What happened, for the tally: 1 none, 2 some, 3 nothing, 4 and above floats.
    fn count(self, event: u64) {
        if let Some(tally) = self.tally {
            tally.set(tally.get().wrapping_mul(31).wrapping_add(event));
        }
    }

    fn lost(self, what: &'static str) -> Result<(), Loss> {
        if self.tally.is_some() { Ok(()) } else { Err(Loss { what, steps: Vec::new() }) }
    }

    fn null(self, event: u64) -> Result<(), Loss> {
        self.count(event);
        match self.place {
            Place::Plain => Ok(()),
            Place::Some | Place::RawInSome => {
                self.lost("a value whose JSON is null, within `Some`, cannot be told from `None`")
            }
        }
    }

    fn float(self, float: f64) -> Result<(), Loss> {
        if float.is_finite() {
            return Ok(());
        }
        self.count(if float.is_nan() { 4 } else { 5 + u64::from(float < 0.0) });
        self.lost("JSON has no number for NaN and infinity")
    }
}

macro_rules! plain {
    ($($method:ident: $ty:ty),* $(,)?) => {
        $(fn $method(self, _: $ty) -> Result<(), Loss> {
            Ok(())
        })*
    };
}

impl<'a> Serializer for Walk<'a> {
    type Ok = ();
    type Error = Loss;
    type SerializeSeq = Fields<'a>;
    type SerializeTuple = Fields<'a>;
    type SerializeTupleStruct = Fields<'a>;
    type SerializeTupleVariant = Fields<'a>;
    type SerializeMap = Fields<'a>;
    type SerializeStruct = Fields<'a>;
    type SerializeStructVariant = Fields<'a>;

    plain! {
        serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_i128: i128, serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64,
        serialize_u128: u128, serialize_char: char, serialize_bytes: &[u8],
    }

    fn serialize_f32(self, float: f32) -> Result<(), Loss> {
        self.float(f64::from(float))
    }

    fn serialize_f64(self, float: f64) -> Result<(), Loss> {
        self.float(float)
    }

    fn serialize_str(self, text: &str) -> Result<(), Loss> {
        if self.place == Place::RawInSome && text.trim() == "null" { self.null(3) } else { Ok(()) }
    }

    fn serialize_none(self) -> Result<(), Loss> {
        self.null(1)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Loss> {
        self.count(2);
        value.serialize(self.at(Place::Some))
    }

    fn serialize_unit(self) -> Result<(), Loss> {
        self.null(3)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Loss> {
        self.null(3)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Result<(), Loss> {
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), Loss> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Loss> {
        value.serialize(self.at(Place::Plain)).map_err(|loss| loss.within(format!(".{variant}")))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Fields<'a>, Loss> {
        self.fields(Place::Plain)
    }

    fn serialize_tuple(self, _: usize) -> Result<Fields<'a>, Loss> {
        self.fields(Place::Plain)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Fields<'a>, Loss> {
        self.fields(Place::Plain)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Fields<'a>, Loss> {
        self.fields(Place::Plain)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Fields<'a>, Loss> {
        self.fields(Place::Plain)
    }

    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Fields<'a>, Loss> {
        let is_raw = name == RAW_VALUE && self.place == Place::Some;
        self.fields(if is_raw { Place::RawInSome } else { Place::Plain })
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Fields<'a>, Loss> {
        self.fields(Place::Plain)
    }
}

/// What stands in a list, a map or a struct.
struct Fields<'a> {
    walk: Walk<'a>,
    /// How many elements there have been.
    count: usize,
    /// The key of the value that comes next.
    key: String,
}

impl Fields<'_> {
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Loss> {
        let at = self.count;
        self.count += 1;
        value.serialize(self.walk).map_err(|loss| loss.within(format!("[{at}]")))
    }

    fn field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Loss> {
        value.serialize(self.walk).map_err(|loss| loss.within(format!(".{name}")))
    }
}

macro_rules! elements {
    ($($interface:ident: $method:ident),*) => {
        $(impl $interface for Fields<'_> {
            type Ok = ();
            type Error = Loss;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Loss> {
                self.element(value)
            }

            fn end(self) -> Result<(), Loss> {
                Ok(())
            }
        })*
    };
}

macro_rules! fields {
    ($($interface:ident),*) => {
        $(impl $interface for Fields<'_> {
            type Ok = ();
            type Error = Loss;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Loss> {
                self.field(name, value)
            }

            fn end(self) -> Result<(), Loss> {
                Ok(())
            }
        })*
    };
}

elements! {
    SerializeSeq: serialize_element, SerializeTuple: serialize_element, SerializeTupleStruct: serialize_field,
    SerializeTupleVariant: serialize_field
}
fields! { SerializeStruct, SerializeStructVariant }

impl SerializeMap for Fields<'_> {
    type Ok = ();
    type Error = Loss;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Loss> {
        // A number that is not finite is an error of serde_json's as a key.
        self.key = serde_json::to_string(key).unwrap_or_default();
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Loss> {
        value.serialize(self.walk).map_err(|loss| loss.within(format!(".{}", self.key.trim_matches('"'))))
    }

    fn end(self) -> Result<(), Loss> {
        Ok(())
    }
}
