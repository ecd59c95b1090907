//! The values the trait speaks in. Nothing here knows how they travel.

pub mod agent;
pub mod approval;
pub mod conversation;
pub mod history;
pub mod id;
pub mod run;
pub mod server;
pub mod turn;
