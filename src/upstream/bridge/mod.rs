//! From one era to the other: what a message has to be so that the other side understands it.
//!
//! Between two sides of one era nothing here is needed: the bytes that came are passed on. Everything here is text in, text
//! out; a text that cannot be read is passed on as it is, because whoever receives it says better what is wrong with it.
