//! Handles: the name, input and output of an activity or orchestration, bound in one constant that serves both the
//! registration and the call, so that the compiler checks that they fit.

use std::fmt;
use std::marker::PhantomData;

macro_rules! handle {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        pub struct $type<In, Out> {
            name: &'static str,
            version: Option<&'static str>,
            types: PhantomData<fn(In) -> Out>,
        }

        impl<In, Out> $type<In, Out> {
            /// A handle for that name, of any version.
            #[must_use]
            pub const fn new(name: &'static str) -> Self {
                Self { name, version: None, types: PhantomData }
            }

            /// The same, for one version.
            #[must_use]
            pub const fn version(mut self, version: &'static str) -> Self {
                self.version = Some(version);
                self
            }

            /// The name.
            #[must_use]
            pub const fn name(&self) -> &'static str {
                self.name
            }

            /// The version, if the handle is for one only.
            #[must_use]
            pub const fn version_name(&self) -> Option<&'static str> {
                self.version
            }
        }

        impl<In, Out> Clone for $type<In, Out> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<In, Out> Copy for $type<In, Out> {}

        impl<In, Out> fmt::Debug for $type<In, Out> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($type)).field("name", &self.name).field("version", &self.version).finish()
            }
        }
    };
}

handle! {
    /// Names an activity with its input and output.
    Activity
}
handle! {
    /// Names an orchestration with its input and output.
    Orchestration
}
