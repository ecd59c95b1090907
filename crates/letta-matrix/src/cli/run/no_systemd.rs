//! There is no systemd here.

pub(super) fn ready() {}

pub(super) fn stopping() {}
