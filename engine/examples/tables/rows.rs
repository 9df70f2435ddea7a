//! Rows by hash, as joins enter and look them up: the newest row of each of two sides.

use std::cell::Cell;

use anabranch_engine::open_table::{Entry, OpenTable};
use anabranch_engine::prefetch::prefetch;
use hashbrown::HashTable;

use crate::{Contestant, PARTS, Part, Use, partitioned, spread};

/// Rows of joins.
pub(crate) const ROWS: Use = Use {
    name: "rows of a join",
    phases: &["add", "hit", "miss"],
    sizes: &[1_000, 100_000, 10_000_000],
    contestants: &[
        Contestant { name: "place after place, fourfold", run: partitioned::<Linear<4>> },
        Contestant { name: "place after place, twofold", run: partitioned::<Linear<2>> },
        Contestant { name: "OpenTable", run: partitioned::<OpenRows> },
        Contestant { name: "hashbrown", run: partitioned::<BrownRows> },
    ],
};

#[derive(Clone, Copy)]
struct Place {
    hash: u64,
    newest: [u32; 2],
}

impl Entry for Place {
    const FREE: Self = Self { hash: 0, newest: [u32::MAX; 2] };

    #[inline]
    fn is_free(&self) -> bool {
        self.newest == [u32::MAX; 2]
    }
}

impl Place {
    fn new(hash: u64, row: u32) -> Self {
        Self { hash, newest: [row, u32::MAX] }
    }
}

/// As the table of joins: one place after the other, in a power of two of them.
#[derive(Default)]
struct Linear<const FOLD: usize> {
    places: Vec<Place>,
    taken: usize,
}

impl<const FOLD: usize> Linear<FOLD> {
    #[inline]
    fn start(&self, hash: u64) -> usize {
        ((u128::from(hash) * self.places.len() as u128) >> 64) as usize
    }

    #[inline]
    fn place(&self, hash: u64) -> usize {
        let mut at = self.start(hash);
        while let Some(place) = self.places.get(at).filter(|place| place.hash != hash && !place.is_free()) {
            let _ = place;
            at = (at + 1) & (self.places.len() - 1);
        }
        at
    }

    #[cold]
    fn grow(&mut self) {
        let size = (self.places.len() * FOLD).max(8);
        for place in std::mem::replace(&mut self.places, vec![Place::FREE; size]) {
            if !place.is_free() {
                let at = self.place(place.hash);
                self.places[at] = place;
            }
        }
    }
}

impl<const FOLD: usize> Part for Linear<FOLD> {
    #[inline]
    fn add(&mut self, part: usize, hash: u64, row: u32) {
        if self.taken * 16 * PARTS >= self.places.len() * (8 * PARTS + 4 * part) {
            self.grow();
        }
        let at = self.place(hash);
        self.taken += usize::from(self.places[at].is_free());
        self.places[at] = Place::new(hash, row);
    }

    #[inline]
    fn find(&self, hash: u64) -> u64 {
        self.places.get(self.place(hash)).map_or(0, |place| u64::from(place.newest[0].wrapping_add(1)))
    }

    #[inline]
    fn prefetch(&self, hash: u64) {
        if let Some(place) = self.places.get(self.start(hash)) {
            prefetch(place);
        }
    }

    fn bytes(&self) -> usize {
        self.places.len() * size_of::<Place>()
    }
}

#[derive(Default)]
struct OpenRows(OpenTable<Place, 4>);

impl Part for OpenRows {
    #[inline]
    fn add(&mut self, _: usize, hash: u64, row: u32) {
        if let Some(lines) = self.0.lines_to_insert() {
            self.0.resize(lines, |_, place| place.hash, |_, _| {});
        }
        self.0.insert(hash, |place| place.hash == hash && !place.is_free(), || Place::new(hash, row));
    }

    #[inline]
    fn find(&self, hash: u64) -> u64 {
        let row = Cell::new(0);
        self.0.view().has(hash, |place| {
            let is_it = place.hash == hash && !place.is_free();
            row.set(if is_it { u64::from(place.newest[0]) + 1 } else { row.get() });
            is_it
        });
        row.get()
    }

    #[inline]
    fn prefetch(&self, hash: u64) {
        self.0.view().prefetch(hash);
    }

    fn bytes(&self) -> usize {
        self.0.bytes()
    }
}

#[derive(Default)]
struct BrownRows(HashTable<Place>);

impl Part for BrownRows {
    #[inline]
    fn add(&mut self, _: usize, hash: u64, row: u32) {
        let place = |place: &Place| spread(place.hash);
        self.0.entry(spread(hash), |place| place.hash == hash, place).or_insert(Place::new(hash, row));
    }

    #[inline]
    fn find(&self, hash: u64) -> u64 {
        let found = self.0.find(spread(hash), |place| place.hash == hash);
        found.map_or(0, |place| u64::from(place.newest[0]) + 1)
    }

    fn bytes(&self) -> usize {
        self.0.allocation_size()
    }
}
