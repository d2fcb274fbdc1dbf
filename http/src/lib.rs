#![doc = include_str!("../README.md")]

mod address;
mod client;
mod refusal;
mod roots;
mod token;

pub use address::{Address, WrongAddress};
pub use client::{Client, Limits, Request};
pub use refusal::Refusal;
pub use roots::Roots;
pub use token::Token;
