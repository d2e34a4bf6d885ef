//! Why images were refused although there was nothing wrong with them.

/// Why an image was refused at the door of its model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalReason {
    /// The model has as many images in work as it may.
    Places,
    /// Its client has as many of them as it may, where clients take turns.
    ClientShare,
    /// The queue has as many as it may.
    QueueFull,
    /// It would wait longer than `limits.target_queue_ms`.
    TargetQueue,
    /// It would not be answered before its deadline.
    Deadline,
    /// Its deadline had passed when it came.
    Expired,
    /// Decoding it needs more memory than `limits.max_in_flight_bytes` leaves.
    Memory,
    /// The model is being unloaded, or its workers broke.
    Unloading,
}

impl RefusalReason {
    /// Every reason, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Places,
        Self::ClientShare,
        Self::QueueFull,
        Self::TargetQueue,
        Self::Deadline,
        Self::Expired,
        Self::Memory,
        Self::Unloading,
    ];

    /// Its name as a label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Places => "places",
            Self::ClientShare => "client_share",
            Self::QueueFull => "queue_full",
            Self::TargetQueue => "target_queue",
            Self::Deadline => "deadline",
            Self::Expired => "expired",
            Self::Memory => "memory",
            Self::Unloading => "unloading",
        }
    }
}
