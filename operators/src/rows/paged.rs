//! A growing list that never moves what it holds.

/// Values in a page; also the rows in a page of a row store.
pub(crate) const PAGE: usize = 8_192;

/// Values by number, in pages, so that growing costs the same at any size.
#[derive(Debug, Clone)]
pub(crate) struct Paged<T>(Vec<Vec<T>>);

impl<T> Default for Paged<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Copy> Paged<T> {
    pub(crate) fn len(&self) -> usize {
        self.0.last().map_or(0, |last| (self.0.len() - 1) * PAGE + last.len())
    }

    pub(crate) fn push(&mut self, value: T) {
        match self.0.last_mut() {
            Some(page) if page.len() < PAGE => page.push(value),
            _ => self.0.push(vec![value]),
        }
    }

    pub(crate) fn get(&self, at: usize) -> Option<T> {
        self.0.get(at / PAGE)?.get(at % PAGE).copied()
    }

    pub(crate) fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        self.0.get_mut(at / PAGE)?.get_mut(at % PAGE)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = T> {
        self.0.iter().flatten().copied()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.len() * size_of::<T>()
    }
}

impl<T: Copy> Extend<T> for Paged<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, values: I) {
        values.into_iter().for_each(|value| self.push(value));
    }
}
