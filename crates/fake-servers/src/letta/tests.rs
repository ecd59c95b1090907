mod conformance;
mod control;
mod faults;
mod server;
mod shapes;
