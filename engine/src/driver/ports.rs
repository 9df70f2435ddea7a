//! The ports of a node: one edge each, which are open until they end.

use std::future::poll_fn;
use std::task::Poll;

use crate::channel::{Received, Receiver};
use crate::chunk::Chunk;
use crate::index::At as _;
use crate::operator::Item;

/// The receiving ends of a node's edges.
#[derive(Debug)]
pub(super) struct Ports(Vec<Option<Receiver<Chunk>>>);

impl Ports {
    pub(super) fn new(receivers: Vec<Receiver<Chunk>>) -> Self {
        Self(receivers.into_iter().map(Some).collect())
    }

    /// Chunks that wait at a port.
    pub(super) fn queued(&self, port: usize) -> usize {
        self.0.at(port, "port").as_ref().map_or(0, Receiver::queued)
    }

    /// Receives the next item at one of these ports, where several have some at the one named first;
    /// nothing if the edge was abandoned. Waits for ever if all have ended.
    ///
    /// Cancellation: a dropped future has taken nothing.
    pub(super) async fn receive(&mut self, wanted: &[usize]) -> Option<(usize, Item)> {
        let (port, received) = poll_fn(|context| {
            for port in wanted {
                if let Some(receiver) = self.0.at_mut(*port, "port")
                    && let Poll::Ready(received) = receiver.poll_recv(context)
                {
                    return Poll::Ready((*port, received));
                }
            }
            Poll::Pending
        })
        .await;
        match received {
            Received::Item(chunk) => Some((port, Item::Chunk(chunk))),
            Received::End => {
                *self.0.at_mut(port, "port") = None;
                Some((port, Item::End))
            }
            Received::Abandoned => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::sync::Arc;

    use futures::FutureExt as _;

    use super::*;
    use crate::channel::{Sender, channel};
    use crate::schema::StreamSchema;

    fn three() -> (Vec<Sender<Chunk>>, Ports) {
        let edges = (0..3).map(|_| channel(NonZeroUsize::MIN));
        let (senders, receivers): (Vec<_>, Vec<_>) = edges.unzip();
        (senders, Ports::new(receivers))
    }

    fn chunk() -> Chunk {
        Chunk::empty(Arc::new(StreamSchema::new(vec![], vec![], vec![]).unwrap()))
    }

    #[test]
    fn of_several_ports_that_have_something_the_one_named_first_is_taken() {
        let (senders, mut ports) = three();
        for sender in &senders {
            sender.send_blocking(chunk()).unwrap();
        }
        for port in [2, 0, 1] {
            let wanted = [2, 0, 1];
            let taken = ports.receive(&wanted).now_or_never().flatten().map(|(port, _)| port);
            assert_eq!(taken, Some(port));
        }
        assert!(ports.receive(&[2, 0, 1]).now_or_never().is_none());
        senders[0].send_blocking(chunk()).unwrap();
        senders[1].send_blocking(chunk()).unwrap();
        let taken = ports.receive(&[1, 2, 0]).now_or_never().flatten().map(|(port, _)| port);
        assert_eq!(taken, Some(1), "what waited before does not change the preference");
    }

    #[test]
    fn a_port_that_ended_is_passed_over_and_one_that_was_abandoned_gives_nothing() {
        let (senders, mut ports) = three();
        let mut senders = senders.into_iter();
        senders.next().unwrap().end_blocking().unwrap();
        let ended = ports.receive(&[0, 1]).now_or_never().flatten();
        assert!(matches!(ended, Some((0, Item::End))));
        assert!(ports.receive(&[0, 1]).now_or_never().is_none(), "it waits for the other");
        drop(senders.next());
        assert!(matches!(ports.receive(&[0, 1]).now_or_never(), Some(None)));
    }
}
