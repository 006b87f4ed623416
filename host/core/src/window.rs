//! What a sink is given next, and how far its cursor may move; pure.
