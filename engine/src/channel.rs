//! Bounded edges that distinguish the end of a stream from its abandonment.
//!
//! A [`Sender`] that is dropped without [`Sender::end`] leaves the edge *abandoned*: its receiver
//! learns that rows are missing and must not take what came for the whole. An edge may have
//! several senders; it ends when all of them have ended it.
//!
//! An edge bounds the items that wait on it by their number and by [`EDGE_BYTES`]. An item that is larger
//! than that waits alone, so that no size can stop an edge.

use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_channel::TrySendError;
use futures::Stream as _;
use futures::executor::block_on;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of the items that wait on an edge, unless one alone has more.
pub const EDGE_BYTES: usize = 16 << 20;
/// Bytes that are counted as one.
const UNIT_BYTES: usize = 1 << 10;
const EDGE_UNITS: usize = EDGE_BYTES / UNIT_BYTES;

/// An item of an edge, which takes room on it.
pub trait Weigh {
    /// Bytes of memory that it keeps while it waits.
    fn weight_bytes(&self) -> usize;
}

/// An item, or an end, that is received from an edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received<T> {
    /// Something that was sent.
    Item(T),
    /// Every sender has ended the edge.
    End,
    /// A sender went away without saying so.
    Abandoned,
}

/// The receiver is gone, so nothing can arrive any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the receiving end of the edge is gone")]
pub struct Closed;

enum Message<T> {
    Item {
        item: T,
        /// The room that it takes until it is received.
        _room: OwnedSemaphorePermit,
    },
    End,
}

/// A sending end of an edge.
#[derive(Debug)]
#[must_use = "dropping a sender without `end` abandons the edge"]
pub struct Sender<T> {
    messages: async_channel::Sender<Message<T>>,
    room: Arc<Semaphore>,
}

/// The receiving end of an edge.
#[derive(Debug)]
pub struct Receiver<T> {
    // Pinned once for the edge: it keeps its place among the waiting from one poll to the next.
    messages: Pin<Box<async_channel::Receiver<Message<T>>>>,
    /// Senders that have not ended the edge.
    open: usize,
    room: Arc<Semaphore>,
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        // A sender that waits for room fails, since nothing can arrive any more.
        self.room.close();
    }
}

/// An edge that holds at most `capacity` items of [`EDGE_BYTES`] together, or one item; the end needs no
/// room of its own beyond that.
pub fn channel<T: Weigh>(capacity: NonZeroUsize) -> (Sender<T>, Receiver<T>) {
    let (messages, arrivals) = async_channel::bounded(capacity.get());
    let room = Arc::new(Semaphore::new(EDGE_UNITS));
    let receiver = Receiver { messages: Box::pin(arrivals), open: 1, room: Arc::clone(&room) };
    (Sender { messages, room }, receiver)
}

/// An edge with several senders, whose items arrive in any order; those of one sender in its order.
///
/// If a sender goes away without an end, the receiver learns it once the others are gone.
#[must_use]
pub fn merging_channel<T: Weigh>(
    capacity: NonZeroUsize,
    senders: NonZeroUsize,
) -> (Vec<Sender<T>>, Receiver<T>) {
    let (sender, mut receiver) = channel(capacity);
    receiver.open = senders.get();
    let end = |_| Sender { messages: sender.messages.clone(), room: Arc::clone(&sender.room) };
    let ends = (0..senders.get()).map(end).collect();
    (ends, receiver)
}

/// The units that an item takes, all of them where it has more bytes than an edge.
fn units<T: Weigh>(item: &T) -> u32 {
    u32::try_from((item.weight_bytes() / UNIT_BYTES).clamp(1, EDGE_UNITS)).unwrap_or(1)
}

impl<T: Weigh> Sender<T> {
    /// Sends an item, waiting for room.
    ///
    /// Cancellation: a dropped future has sent nothing.
    pub async fn send(&self, item: T) -> Result<(), Closed> {
        let room = match Arc::clone(&self.room).try_acquire_many_owned(units(&item)) {
            Ok(room) => room,
            Err(_) => Arc::clone(&self.room).acquire_many_owned(units(&item)).await.map_err(|_| Closed)?,
        };
        self.message(Message::Item { item, _room: room }).await
    }

    /// Ends the edge, waiting for room.
    ///
    /// Cancellation: a dropped future abandons the edge.
    pub async fn end(self) -> Result<(), Closed> {
        self.message(Message::End).await
    }

    async fn message(&self, message: Message<T>) -> Result<(), Closed> {
        // Most of the time there is room, and nothing has to be set up for a wait.
        match self.messages.try_send(message) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(message)) => self.messages.send(message).await.map_err(|_| Closed),
            Err(TrySendError::Closed(_)) => Err(Closed),
        }
    }

    /// [`Sender::send`] for a thread of its own.
    pub fn send_blocking(&self, item: T) -> Result<(), Closed> {
        block_on(self.send(item))
    }

    /// [`Sender::end`] for a thread of its own.
    pub fn end_blocking(self) -> Result<(), Closed> {
        self.messages.send_blocking(Message::End).map_err(|_| Closed)
    }
}

impl<T> Receiver<T> {
    /// The next item, if it is there; the task is woken when there may be something. Nothing is
    /// allocated unless there is nothing.
    pub fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Received<T>> {
        while self.open > 0 {
            match self.messages.as_mut().poll_next(context) {
                Poll::Ready(Some(Message::Item { item, .. })) => return Poll::Ready(Received::Item(item)),
                Poll::Ready(Some(Message::End)) => self.open -= 1,
                Poll::Ready(None) => return Poll::Ready(Received::Abandoned),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Received::End)
    }

    /// Number of items that wait.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.messages.len()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;
    use futures::FutureExt as _;

    const ONE: NonZeroUsize = NonZeroUsize::MIN;

    impl<T> Receiver<T> {
        async fn recv(&mut self) -> Received<T> {
            poll_fn(|context| self.poll_recv(context)).await
        }

        fn recv_blocking(&mut self) -> Received<T> {
            block_on(self.recv())
        }
    }

    impl Weigh for i32 {
        fn weight_bytes(&self) -> usize {
            size_of::<Self>()
        }
    }

    /// An item of so many MiB.
    #[derive(Debug, PartialEq, Eq)]
    struct Large(usize);

    impl Weigh for Large {
        fn weight_bytes(&self) -> usize {
            self.0 << 20
        }
    }

    #[test]
    fn what_waits_is_bounded_by_bytes_and_an_item_that_is_larger_waits_alone() {
        let (sender, mut receiver) = channel(NonZeroUsize::new(100).unwrap());
        sender.send_blocking(Large(10)).unwrap();
        sender.send_blocking(Large(5)).unwrap();
        let mut third = Box::pin(sender.send(Large(4)));
        assert!(third.as_mut().now_or_never().is_none(), "19 of 16 MiB");
        assert_eq!(receiver.recv_blocking(), Received::Item(Large(10)));
        assert_eq!(third.now_or_never(), Some(Ok(())));
        let mut huge = Box::pin(sender.send(Large(5_000)));
        assert!(huge.as_mut().now_or_never().is_none());
        assert_eq!(receiver.recv_blocking(), Received::Item(Large(5)));
        assert!(huge.as_mut().now_or_never().is_none(), "4 MiB still wait");
        assert_eq!(receiver.recv_blocking(), Received::Item(Large(4)));
        assert_eq!(huge.now_or_never(), Some(Ok(())), "an edge without items takes any");
        let mut last = Box::pin(sender.send(Large(1)));
        assert!(last.as_mut().now_or_never().is_none());
        drop(receiver);
        assert_eq!(last.now_or_never(), Some(Err(Closed)), "who waits for room learns that nobody receives");
    }

    #[test]
    fn an_end_is_told_from_an_abandonment() {
        let (sender, mut receiver) = channel(ONE);
        sender.send_blocking(1).unwrap();
        assert_eq!(receiver.recv_blocking(), Received::Item(1));
        sender.end_blocking().unwrap();
        assert_eq!(receiver.recv_blocking(), Received::End);
        assert_eq!(receiver.recv_blocking(), Received::End);

        let (sender, mut receiver) = channel(ONE);
        sender.send_blocking(1).unwrap();
        drop(sender);
        assert_eq!(receiver.recv_blocking(), Received::Item(1));
        assert_eq!(receiver.recv_blocking(), Received::<i32>::Abandoned);
    }

    #[test]
    fn a_full_edge_makes_its_sender_wait() {
        let (sender, mut receiver) = channel(ONE);
        assert_eq!(sender.send(1).now_or_never(), Some(Ok(())));
        assert_eq!(sender.send(2).now_or_never(), None);
        assert_eq!(block_on(receiver.recv()), Received::Item(1));
        assert_eq!(sender.send(3).now_or_never(), Some(Ok(())));
        assert_eq!(block_on(receiver.recv()), Received::Item(3));
    }

    #[test]
    fn a_sender_learns_that_its_receiver_is_gone() {
        let (sender, receiver) = channel(ONE);
        drop(receiver);
        assert_eq!(sender.send_blocking(1), Err(Closed));
        assert_eq!(sender.end_blocking(), Err(Closed));
    }

    #[test]
    fn an_edge_of_several_senders_ends_when_all_have_said_so() {
        let two = NonZeroUsize::new(2).unwrap();
        let (senders, mut receiver) = merging_channel(two, two);
        let [one, other] = <[_; 2]>::try_from(senders).unwrap();
        one.send_blocking(1).unwrap();
        one.end_blocking().unwrap();
        assert_eq!(receiver.recv_blocking(), Received::Item(1));
        assert_eq!(receiver.recv().now_or_never(), None);
        other.send_blocking(2).unwrap();
        other.end_blocking().unwrap();
        assert_eq!(receiver.recv().now_or_never(), Some(Received::Item(2)));
        assert_eq!(receiver.recv().now_or_never(), Some(Received::End));
        assert_eq!(receiver.recv_blocking(), Received::End);
    }

    #[test]
    fn one_of_several_senders_that_goes_away_abandons_the_edge() {
        for first in [true, false] {
            let two = NonZeroUsize::new(2).unwrap();
            let (senders, mut receiver) = merging_channel::<i32>(two, two);
            let [one, other] = <[_; 2]>::try_from(senders).unwrap();
            let (lost, whole) = if first { (one, other) } else { (other, one) };
            drop(lost);
            whole.send_blocking(1).unwrap();
            whole.end_blocking().unwrap();
            assert_eq!(receiver.recv_blocking(), Received::Item(1));
            assert_eq!(receiver.recv_blocking(), Received::Abandoned);
            assert_eq!(receiver.recv().now_or_never(), Some(Received::Abandoned));
        }
    }
}
