//! What a model's settings say of where and how it runs, in the words of [`tune`](crate::tune). Pure.

use super::Manifest;
use crate::{
    runtime::{Precision, Provider},
    settings::{Goal, PrecisionChoice, ProviderChoice},
    tune::space::Wishes,
};

pub(super) fn wishes_of(manifest: &Manifest) -> Wishes {
    let Manifest { runtime, batching, .. } = manifest;
    Wishes {
        provider: asked_provider(runtime.provider),
        precision: asked_precision(runtime.precision),
        instances: runtime.instances,
        intra_threads: runtime.intra_threads,
        max_batch_size: batching.max_batch_size,
        goal: runtime.tune_goal,
        all_engines: runtime.tune,
    }
}

/// Whether there may be a session beside those that serve under load: not where somebody has said how many there are to be.
pub(super) fn may_add_one(wishes: &Wishes) -> bool {
    wishes.instances == 0 && wishes.intra_threads == 0 && wishes.goal == Goal::Throughput
}

/// The provider that was asked for; `None` where the choice is ours.
fn asked_provider(choice: ProviderChoice) -> Option<Provider> {
    match choice {
        ProviderChoice::Auto => None,
        ProviderChoice::Cpu => Some(Provider::Cpu),
        ProviderChoice::Openvino => Some(Provider::Openvino),
        ProviderChoice::Cuda => Some(Provider::Cuda),
        ProviderChoice::Tensorrt => Some(Provider::Tensorrt),
    }
}

/// The arithmetic that was asked for; `None` where the choice is ours.
fn asked_precision(choice: PrecisionChoice) -> Option<Precision> {
    match choice {
        PrecisionChoice::Auto => None,
        PrecisionChoice::Fp32 => Some(Precision::Fp32),
        PrecisionChoice::Bf16 => Some(Precision::Bf16),
        PrecisionChoice::Fp16 => Some(Precision::Fp16),
    }
}
