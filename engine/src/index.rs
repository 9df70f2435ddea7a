//! Indices that belong to one kind of element, and access to elements that must exist.
//!
//! An index that is out of range is a defect of the program. It panics with the name of the element or the
//! sentence of the invariant, and the driver fails the run with the name of the node; it is never a default value or a
//! step without effect.

use std::fmt::{Debug, Display};
use std::marker::PhantomData;
use std::ops::{Index, IndexMut};
use std::slice::SliceIndex;

/// A position among elements of one kind; made by [`typed_index`](crate::typed_index).
pub trait TypedIndex: Copy {
    /// Name of an element in messages.
    const ELEMENT: &'static str;

    /// Returns the index of a position.
    fn from_position(position: usize) -> Self;

    /// Returns the position of the index.
    fn position(self) -> usize;
}

/// Defines the index type of an [`IndexVec`], with the name that its elements have in messages.
///
/// Example:
/// ```
/// use anabranch_engine::index::IndexVec;
///
/// anabranch_engine::typed_index! {
///     /// A stage of a join.
///     struct StageId("stage");
/// }
///
/// let mut stages: IndexVec<StageId, &str> = IndexVec::new();
/// let first = stages.push("build");
/// assert_eq!(stages[first], "build");
/// ```
#[macro_export]
macro_rules! typed_index {
    ($(#[$meta:meta])* $visibility:vis struct $name:ident($element:literal);) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $visibility struct $name(usize);

        impl $crate::index::TypedIndex for $name {
            const ELEMENT: &'static str = $element;

            fn from_position(position: usize) -> Self {
                Self(position)
            }

            fn position(self) -> usize {
                self.0
            }
        }
    };
}

/// Elements of one kind, found by their own type of index.
///
/// Panics: indexing with an index of no element, as a `Vec` does, with the name of the element.
#[derive(Debug, Clone)]
pub struct IndexVec<I, T> {
    elements: Vec<T>,
    index: PhantomData<fn(I) -> I>,
}

impl<I: TypedIndex, T> IndexVec<I, T> {
    /// Returns a vector without elements.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends an element and returns its index.
    pub fn push(&mut self, element: T) -> I {
        self.elements.push(element);
        I::from_position(self.elements.len() - 1)
    }

    /// Returns the number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.elements.len()
    }

    /// Returns true if there is no element.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    /// Returns the indices of all elements, in order.
    pub fn indices(&self) -> impl DoubleEndedIterator<Item = I> + ExactSizeIterator + use<I, T> {
        (0..self.elements.len()).map(I::from_position)
    }

    /// Returns the elements in order.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.elements.iter()
    }

    /// Returns the elements with their indices.
    #[must_use]
    pub fn enumerated(&self) -> impl DoubleEndedIterator<Item = (I, &T)> + ExactSizeIterator {
        self.elements.iter().enumerate().map(|(position, element)| (I::from_position(position), element))
    }
}

impl<I, T> Default for IndexVec<I, T> {
    fn default() -> Self {
        Self { elements: Vec::new(), index: PhantomData }
    }
}

impl<I: TypedIndex, T> Index<I> for IndexVec<I, T> {
    type Output = T;

    fn index(&self, index: I) -> &T {
        self.elements.at(index.position(), I::ELEMENT)
    }
}

impl<I: TypedIndex, T> IndexMut<I> for IndexVec<I, T> {
    fn index_mut(&mut self, index: I) -> &mut T {
        self.elements.at_mut(index.position(), I::ELEMENT)
    }
}

impl<I, T> From<Vec<T>> for IndexVec<I, T> {
    fn from(elements: Vec<T>) -> Self {
        Self { elements, index: PhantomData }
    }
}

impl<I, T> FromIterator<T> for IndexVec<I, T> {
    fn from_iter<A: IntoIterator<Item = T>>(elements: A) -> Self {
        Self::from(Vec::from_iter(elements))
    }
}

impl<I, T> IntoIterator for IndexVec<I, T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.elements.into_iter()
    }
}

impl<'a, I, T> IntoIterator for &'a IndexVec<I, T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.elements.iter()
    }
}

/// Access to what must exist in a slice: an element by its position, or a part by its range.
///
/// Example:
/// ```
/// use anabranch_engine::index::At as _;
///
/// assert_eq!([1, 2, 3].at(0, "row"), &1);
/// assert_eq!([1, 2, 3].at(1..3, "a part lies in the whole"), &[2, 3]);
/// ```
pub trait At<I> {
    /// Element or elements at an index.
    type Found: ?Sized;

    /// Returns the element at a position, or the part at a range.
    ///
    /// Panics: where there is none, with the name of the element or the sentence of the invariant.
    fn at(&self, index: I, invariant: &str) -> &Self::Found;

    /// Returns the element at a position, or the part at a range, to be changed.
    ///
    /// Panics: where there is none, with the name of the element or the sentence of the invariant.
    fn at_mut(&mut self, index: I, invariant: &str) -> &mut Self::Found;
}

impl<T, I: SliceIndex<[T]> + Clone + Debug> At<I> for [T] {
    type Found = I::Output;

    #[inline]
    #[track_caller]
    fn at(&self, index: I, invariant: &str) -> &I::Output {
        match self.get(index.clone()) {
            Some(found) => found,
            None => missing(&index, invariant, self.len()),
        }
    }

    #[inline]
    #[track_caller]
    fn at_mut(&mut self, index: I, invariant: &str) -> &mut I::Output {
        let len = self.len();
        match self.get_mut(index.clone()) {
            Some(found) => found,
            None => missing(&index, invariant, len),
        }
    }
}

/// Returns the value that is there by an invariant.
///
/// Panics: where there is none, with the sentence of the invariant.
#[inline]
#[track_caller]
pub fn holds<T>(value: Option<T>, invariant: &str) -> T {
    match value {
        Some(value) => value,
        None => absent(invariant),
    }
}

/// Converts the number of a row, which must fit.
///
/// Panics: where it does not.
#[inline]
#[must_use]
#[track_caller]
pub fn row_number(row: usize) -> u32 {
    fitting(row, "row number")
}

/// Converts a number that must fit.
///
/// Panics: where it does not, with its name.
#[inline]
#[track_caller]
pub fn fitting<N: Copy + Display, T: TryFrom<N>>(number: N, name: &str) -> T {
    match T::try_from(number) {
        Ok(number) => number,
        Err(_) => unfit(&number, name),
    }
}

#[cold]
#[track_caller]
fn unfit(number: &dyn Display, name: &str) -> ! {
    panic!("{name} {number} must fit its type")
}

#[cold]
#[track_caller]
fn absent(invariant: &str) -> ! {
    panic!("{invariant}: found nothing")
}

#[cold]
#[track_caller]
fn missing(index: &dyn Debug, invariant: &str, len: usize) -> ! {
    panic!("{invariant}: found index {index:?} of {len}")
}

#[cfg(test)]
mod tests {
    use super::*;

    typed_index! {
        struct PortId("port");
    }

    #[test]
    fn elements_are_found_by_the_index_that_pushing_them_gave() {
        let mut ports: IndexVec<PortId, char> = IndexVec::new();
        let (first, second) = (ports.push('a'), ports.push('b'));
        ports[second] = 'c';
        assert_eq!((ports[first], ports[second]), ('a', 'c'));
        assert_eq!(ports.indices().collect::<Vec<_>>(), [first, second]);
        assert_eq!(ports.enumerated().next_back(), Some((second, &'c')));
    }

    #[test]
    #[should_panic(expected = "port: found index 2 of 1")]
    fn an_index_of_no_element_panics_with_the_name_of_the_element() {
        let ports: IndexVec<PortId, char> = ['a'].into_iter().collect();
        let _ = ports[PortId::from_position(2)];
    }

    #[test]
    #[should_panic(expected = "input of the union: found index 1 of 1")]
    fn a_position_of_no_element_panics_with_the_name_of_the_element() {
        ['a'].at_mut(1, "input of the union");
    }

    #[test]
    #[should_panic(expected = "rows of a part are in the whole: found index 1..4 of 3")]
    fn a_range_that_does_not_exist_panics_with_the_invariant() {
        [1, 2, 3].at(1..4, "rows of a part are in the whole");
    }

    #[test]
    #[should_panic(expected = "row number 4294967296 must fit its type")]
    fn a_number_that_does_not_fit_panics_with_its_name() {
        let _: u32 = fitting(1_u64 << 32, "row number");
    }
}
