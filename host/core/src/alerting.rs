//! When an alert opens, is repeated and is over; pure.
