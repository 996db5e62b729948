//! How messages are written and read: as the protocol says, with buffers for messages as small as most are.
//!
//! By default each call takes two buffers of 8 KB on either side. Most messages have a few hundred bytes, and at tens of
//! thousands of calls a second those buffers were a third of the processor time. They grow when a message is larger.

use std::marker::PhantomData;

use prost::Message;
use prost::bytes::Buf;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder};
use tonic_prost::ProstCodec;

use crate::elements;

const BUFFER: usize = 512;
/// Of a stream, what is written at once.
const WRITTEN_AT_ONCE: usize = 32 * 1024;
/// Smaller messages cannot be decoded to much.
const COUNTED: usize = 64 * 1024;

/// The codec of all calls.
#[derive(Clone, Copy, Debug)]
pub struct SmallMessages<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for SmallMessages<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

fn buffers() -> BufferSettings {
    BufferSettings::new(BUFFER, WRITTEN_AT_ONCE)
}

impl<T, U> Codec for SmallMessages<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = <ProstCodec<T, U> as Codec>::Encoder;
    type Decoder = Counted<<ProstCodec<T, U> as Codec>::Decoder>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::raw_encoder(buffers())
    }

    fn decoder(&mut self) -> Self::Decoder {
        Counted(ProstCodec::<T, U>::raw_decoder(buffers()))
    }
}

/// Reads messages that do not have absurdly many elements.
#[derive(Clone, Debug)]
pub struct Counted<D>(D);

impl<D: Decoder<Error = Status>> Decoder for Counted<D> {
    type Item = D::Item;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<D::Item>, Status> {
        if bytes.remaining() > COUNTED && !elements::are_few::<D::Item>(bytes.chunk()) {
            return Err(Status::resource_exhausted(format!(
                "a message with more than {} elements in its lists: send less at once",
                elements::MOST
            )));
        }
        self.0.decode(bytes)
    }

    fn buffer_settings(&self) -> BufferSettings {
        self.0.buffer_settings()
    }
}
