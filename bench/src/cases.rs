//! Measurements, and the bounds of each.

use std::fmt::{Display, Formatter};

/// An engine that does the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    /// This project.
    Anabranch,
    /// DataFusion's `HashJoinExec`, which keeps one side and streams the other.
    HashJoin,
    /// DataFusion's `SymmetricHashJoinExec`, which streams both.
    SymmetricJoin,
    /// Polars, with its streaming engine.
    Polars,
    /// Polars, with its engine that makes whole results.
    PolarsMemory,
}

impl Engine {
    /// All of them, in the order of the table.
    pub(crate) const ALL: [Self; 5] =
        [Self::Anabranch, Self::HashJoin, Self::SymmetricJoin, Self::Polars, Self::PolarsMemory];

    /// Its name in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Anabranch => "anabranch",
            Self::HashJoin => "DataFusion HashJoinExec",
            Self::SymmetricJoin => "DataFusion SymmetricHashJoinExec",
            Self::Polars => "Polars streaming",
            Self::PolarsMemory => "Polars in memory",
        }
    }
}

impl Display for Engine {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Operation that puts rows of two tables together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Matching {
    /// Each pair of rows of equal key.
    Join,
    /// The left rows whose key the right table has.
    Semijoin,
    /// The left rows whose key the right table lacks.
    Antijoin,
}

/// Form of the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyForm {
    /// The whole numbers from 0 on, without a gap: `HashJoinExec` makes them places of an array.
    Dense,
    /// Whole numbers all over the 64 bits.
    Scattered,
    /// `k` and nine digits.
    Text,
}

/// A bound on our time, as a multiple of a peer's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Goal {
    /// The peer.
    pub(crate) peer: Engine,
    /// The floor.
    pub(crate) floor: f64,
    /// The aim.
    pub(crate) aim: f64,
}

/// Work on two tables.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    /// Its name, in the table and on the command line.
    pub(crate) name: &'static str,
    /// Way in which rows match.
    pub(crate) matching: Matching,
    /// Form of the keys.
    pub(crate) keys: KeyForm,
    /// Occurrences of each key in each table.
    pub(crate) fold: u32,
    /// The bound.
    pub(crate) goals: &'static [Goal],
}

impl Case {
    /// The case of that name.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        CASES.iter().find(|case| case.name == name)
    }

    /// The engines that can do it.
    pub(crate) fn engines(&self) -> impl Iterator<Item = Engine> + use<> {
        // The symmetric one has no order of its inputs that would make it a test for membership.
        let is_join = self.matching == Matching::Join;
        Engine::ALL.into_iter().filter(move |engine| is_join || *engine != Engine::SymmetricJoin)
    }

    /// Names of the columns of the result.
    pub(crate) fn columns(&self) -> &'static [&'static str] {
        match self.matching {
            Matching::Join => &["key", "a", "b", "c", "d", "e", "f"],
            Matching::Semijoin | Matching::Antijoin => &["key", "a", "b", "c"],
        }
    }
}

const fn goal(peer: Engine, floor: f64, aim: f64) -> Goal {
    Goal { peer, floor, aim }
}

/// No floor.
const ANY: f64 = f64::INFINITY;

const UNIQUE: &[Goal] = &[goal(Engine::HashJoin, 1.25, 1.0), goal(Engine::SymmetricJoin, 0.25, 0.25)];
const FOURFOLD: &[Goal] =
    &[goal(Engine::HashJoin, 1.0, 1.0), goal(Engine::Polars, ANY, 1.0), goal(Engine::PolarsMemory, ANY, 1.0)];
const UNIQUE_TEXT: &[Goal] = &[
    goal(Engine::HashJoin, 1.25, 1.0),
    goal(Engine::Polars, ANY, 1.0),
    goal(Engine::PolarsMemory, ANY, 1.0),
];
const MEMBERSHIP: &[Goal] = &[goal(Engine::Polars, 1.2, 1.0), goal(Engine::PolarsMemory, 1.2, 1.0)];

/// Everything that is measured on two tables.
pub(crate) const CASES: &[Case] = &[
    case("join-int64-unique", Matching::Join, KeyForm::Scattered, 1, UNIQUE),
    case("join-int64-unique-dense", Matching::Join, KeyForm::Dense, 1, UNIQUE),
    case("join-int64-4fold", Matching::Join, KeyForm::Scattered, 4, FOURFOLD),
    case("join-string-unique", Matching::Join, KeyForm::Text, 1, UNIQUE_TEXT),
    case("join-string-4fold", Matching::Join, KeyForm::Text, 4, FOURFOLD),
    case("semijoin-int64", Matching::Semijoin, KeyForm::Scattered, 1, MEMBERSHIP),
    case("semijoin-string", Matching::Semijoin, KeyForm::Text, 1, MEMBERSHIP),
    case("antijoin-int64", Matching::Antijoin, KeyForm::Scattered, 1, MEMBERSHIP),
    case("antijoin-string", Matching::Antijoin, KeyForm::Text, 1, MEMBERSHIP),
];

const fn case(
    name: &'static str,
    matching: Matching,
    keys: KeyForm,
    fold: u32,
    goals: &'static [Goal],
) -> Case {
    Case { name, matching, keys, fold, goals }
}
