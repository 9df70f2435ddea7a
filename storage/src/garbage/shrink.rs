//! Giving space that is free back to the disk.

use anabranch_engine::store::StoreFault;

use super::sweep::{Progress, Sweeper};

/// Moves of a step at most, after each of which the clock is looked at: a commit writes to the log what was moved, and waits for
/// the disk.
const MOST_MOVES: u32 = 4;

/// Moves what lies behind free space into it, and cuts the file. A database that was not made for it keeps its free space and
/// uses it first.
pub(super) fn shrink(sweeper: &mut Sweeper) -> Result<(), StoreFault> {
    if sweeper.rows().free()?.returnable {
        sweeper.steps(|transaction, clock| {
            for _ in 0..MOST_MOVES {
                if !transaction.shrink()? {
                    return Ok(Progress::Done);
                }
                if clock.is_over() {
                    break;
                }
            }
            Ok(Progress::More)
        })?;
    }
    // Others are never waited for while a run is at work.
    let alone = sweeper.leases.any_alive()?.is_none();
    sweeper.writer.checkpoint(alone)
}
