//! What is configured on this host: read from the files of the programs themselves, so that nobody has to list it.

pub mod nginx;
