//! What is told of models, as messages.

use std::time::{Duration, UNIX_EPOCH};

use crate::{
    server::{
        grpc::proto::inference::{self as proto, DataType, model_input, model_instance_group},
        v2::{ConfigFormat, ModelConfig, ModelMetadata, RepositoryEntry, TensorMetadata},
    },
    service::{RunsOfSize, TimedCount, VersionStatistics},
};

pub(super) fn metadata(metadata: ModelMetadata) -> proto::ModelMetadataResponse {
    let tensor = |tensor: TensorMetadata| proto::model_metadata_response::TensorMetadata {
        name: tensor.name,
        datatype: tensor.datatype.to_owned(),
        shape: tensor.shape,
    };
    proto::ModelMetadataResponse {
        name: metadata.name,
        versions: metadata.versions,
        platform: metadata.platform.to_owned(),
        inputs: metadata.inputs.into_iter().map(tensor).collect(),
        outputs: metadata.outputs.into_iter().map(tensor).collect(),
        properties: metadata.properties.into_iter().collect(),
    }
}

pub(super) fn entry(entry: RepositoryEntry) -> proto::repository_index_response::ModelIndex {
    proto::repository_index_response::ModelIndex {
        name: entry.name,
        version: entry.version,
        state: entry.state.to_owned(),
        reason: entry.reason,
    }
}

pub(super) fn config(config: ModelConfig) -> proto::ModelConfig {
    let data_type = |name: &str| DataType::from_str_name(name).unwrap_or(DataType::TypeInvalid).into();
    proto::ModelConfig {
        name: config.name,
        platform: config.platform.to_owned(),
        backend: config.backend.to_owned(),
        max_batch_size: to_i32(config.max_batch_size),
        input: config
            .input
            .into_iter()
            .map(|input| proto::ModelInput {
                data_type: data_type(&input.data_type),
                format: match input.format {
                    ConfigFormat::Nhwc => model_input::Format::Nhwc.into(),
                    ConfigFormat::Nchw => model_input::Format::Nchw.into(),
                },
                name: input.name,
                dims: input.dims,
            })
            .collect(),
        output: config
            .output
            .into_iter()
            .map(|output| proto::ModelOutput {
                data_type: data_type(&output.data_type),
                name: output.name,
                dims: output.dims,
            })
            .collect(),
        instance_group: config
            .instance_group
            .into_iter()
            .map(|group| proto::ModelInstanceGroup {
                count: to_i32(group.count),
                kind: model_instance_group::Kind::from_str_name(group.kind).unwrap_or_default().into(),
            })
            .collect(),
        dynamic_batching: Some(proto::ModelDynamicBatching {}),
    }
}

pub(super) fn statistics(version: VersionStatistics) -> proto::ModelStatistics {
    let VersionStatistics { model, version, statistics } = version;
    let last = statistics.last.and_then(|last| last.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    let (computed, phases) = (statistics.computed(), statistics.phases);
    let sum = |TimedCount { count, time }: TimedCount| counted(count, time);
    proto::ModelStatistics {
        name: model.to_string(),
        version: version.to_string(),
        last_inference: u64::try_from(last.as_millis()).unwrap_or(u64::MAX),
        inference_count: statistics.images(),
        execution_count: statistics.executions(),
        inference_stats: Some(proto::InferStatistics {
            success: sum(statistics.success),
            fail: sum(statistics.fail),
            queue: counted(statistics.requests, phases.queue),
            compute_input: counted(computed, phases.input),
            compute_infer: counted(computed, phases.infer),
            compute_output: counted(computed, phases.output),
            cache_hit: sum(statistics.cache_hit),
            cache_miss: sum(statistics.cache_miss),
        }),
        batch_stats: statistics.runs.iter().map(runs).collect(),
    }
}

fn runs(RunsOfSize { images, count, phases }: &RunsOfSize) -> proto::InferBatchStatistics {
    proto::InferBatchStatistics {
        batch_size: *images as u64,
        compute_input: counted(*count, phases.input),
        compute_infer: counted(*count, phases.infer),
        compute_output: counted(*count, phases.output),
    }
}

fn counted(count: u64, time: Duration) -> Option<proto::StatisticDuration> {
    Some(proto::StatisticDuration { count, ns: u64::try_from(time.as_nanos()).unwrap_or(u64::MAX) })
}

fn to_i32(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
