//! Bounded edges that tell the end of a stream from its abandonment.
//!
//! A [`Sender`] that is dropped without [`Sender::end`] leaves the edge *abandoned*: its receiver
//! learns that rows are missing and must not take what came for the whole.

use std::num::NonZeroUsize;

/// What comes out of an edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received<T> {
    /// Something that was sent.
    Item(T),
    /// The sender said that there is no more.
    End,
    /// The sender went away without saying so.
    Abandoned,
}

/// The receiver is gone, so nothing can arrive any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the receiving end of the edge is gone")]
pub struct Closed;

enum Message<T> {
    Item(T),
    End,
}

/// The sending end of an edge.
#[derive(Debug)]
#[must_use = "dropping a sender without `end` abandons the edge"]
pub struct Sender<T>(async_channel::Sender<Message<T>>);

/// The receiving end of an edge.
#[derive(Debug)]
pub struct Receiver<T> {
    messages: async_channel::Receiver<Message<T>>,
    ended: bool,
}

/// An edge that holds at most `capacity` items; the end needs no room of its own beyond that.
pub fn channel<T>(capacity: NonZeroUsize) -> (Sender<T>, Receiver<T>) {
    let (sender, messages) = async_channel::bounded(capacity.get());
    (Sender(sender), Receiver { messages, ended: false })
}

impl<T> Sender<T> {
    /// Sends an item, waiting for room.
    ///
    /// Cancellation: a dropped future has sent nothing.
    pub async fn send(&self, item: T) -> Result<(), Closed> {
        self.0.send(Message::Item(item)).await.map_err(|_| Closed)
    }

    /// Says that there is no more, waiting for room.
    ///
    /// Cancellation: a dropped future abandons the edge.
    pub async fn end(self) -> Result<(), Closed> {
        self.0.send(Message::End).await.map_err(|_| Closed)
    }

    /// [`Sender::send`] for a thread of its own.
    pub fn send_blocking(&self, item: T) -> Result<(), Closed> {
        self.0.send_blocking(Message::Item(item)).map_err(|_| Closed)
    }

    /// [`Sender::end`] for a thread of its own.
    pub fn end_blocking(self) -> Result<(), Closed> {
        self.0.send_blocking(Message::End).map_err(|_| Closed)
    }
}

impl<T> Receiver<T> {
    /// Waits for what comes next; after the end, the end again.
    ///
    /// Cancellation: a dropped future has taken nothing.
    pub async fn recv(&mut self) -> Received<T> {
        if self.ended {
            return Received::End;
        }
        match self.messages.recv().await {
            Ok(Message::Item(item)) => Received::Item(item),
            Ok(Message::End) => {
                self.ended = true;
                Received::End
            }
            Err(_) => Received::Abandoned,
        }
    }

    /// [`Receiver::recv`] for a thread of its own.
    pub fn recv_blocking(&mut self) -> Received<T> {
        if self.ended {
            return Received::End;
        }
        match self.messages.recv_blocking() {
            Ok(Message::Item(item)) => Received::Item(item),
            Ok(Message::End) => {
                self.ended = true;
                Received::End
            }
            Err(_) => Received::Abandoned,
        }
    }

    /// Number of items that wait.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.messages.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{FutureExt as _, executor::block_on};

    const ONE: NonZeroUsize = NonZeroUsize::MIN;

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
}
