//! Asking a guest to shut itself down in good order.
