import pytest

from segserve.generated.inference import model_config_pb2
from segserve.repository.honoured import HONOURED
from segserve.repository.pbtxt import parse_config, unhonoured_fields


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("sequence_batching {}", "sequence_batching"),
        ("ensemble_scheduling {}", "ensemble_scheduling"),
        ("response_cache { enable: true }", "response_cache.enable"),
        ("batch_input { kind: BATCH_ELEMENT_COUNT }", "batch_input[0]"),
        ("batch_output { kind: BATCH_SCATTER_WITH_INPUT_SHAPE }", "batch_output[0]"),
        ('model_repository_agents { agents { name: "a" } }', "model_repository_agents.agents[0]"),
        ('model_operations { op_library_filename: "x" }', "model_operations.op_library_filename"),
        ("model_transaction_policy { decoupled: true }", "model_transaction_policy.decoupled"),
        ("model_metrics { metric_control {} }", "model_metrics.metric_control[0]"),
        ('cc_model_filenames { key: "7.5" value: "a" }', "cc_model_filenames[7.5]"),
        ('runtime: "x"', "runtime"),
        ('instance_group {} instance_group { host_policy: "h" }', "instance_group[1].host_policy"),
        ('instance_group { profile: "p" }', "instance_group[0].profile"),
        ("instance_group { passive: true }", "instance_group[0].passive"),
        (
            "instance_group { rate_limiter { priority: 1 } }",
            "instance_group[0].rate_limiter.priority",
        ),
        (
            "instance_group { secondary_devices { device_id: 1 } }",
            "instance_group[0].secondary_devices[0]",
        ),
        ("optimization { cuda { graphs: true } }", "optimization.cuda.graphs"),
        ("optimization { priority: PRIORITY_MAX }", "optimization.priority"),
        (
            "optimization { input_pinned_memory { enable: true } }",
            "optimization.input_pinned_memory.enable",
        ),
        ("optimization { eager_batching: true }", "optimization.eager_batching"),
        ("input { format: FORMAT_NHWC }", "input[0].format"),
        ('instance_group { name: "g" }', "instance_group[0].name"),
        ("input { allow_ragged_batch: true }", "input[0].allow_ragged_batch"),
        ("output { is_shape_tensor: true }", "output[0].is_shape_tensor"),
    ],
)
def test_each_field_without_effect_is_named(text, named):
    assert unhonoured_fields(parse_config(text, source="c")) == (named,)


def test_what_is_honoured_is_not_named():
    text = """
    name: "m" platform: "onnxruntime_onnx" backend: "onnxruntime" max_batch_size: 2
    default_model_filename: "m.onnx" version_policy { latest { num_versions: 2 } }
    input { name: "x" data_type: TYPE_FP32 dims: 1 optional: true reshape { } }
    output { name: "y" data_type: TYPE_FP32 dims: 1 label_filename: "labels.txt" }
    instance_group { kind: KIND_GPU count: 1 gpus: 0 }
    optimization { graph { level: 1 } execution_accelerators {
      gpu_execution_accelerator { name: "cuda" parameters { key: "a" value: "b" } } } }
    dynamic_batching { preferred_batch_size: 2 max_queue_delay_microseconds: 1
      preserve_ordering: true priority_levels: 1 default_priority_level: 1
      default_queue_policy { timeout_action: DELAY default_timeout_microseconds: 1
        allow_timeout_override: true max_queue_size: 1 }
      priority_queue_policy { key: 1 value { max_queue_size: 1 } } }
    parameters { key: "a" value { string_value: "b" } } metric_tags { key: "a" value: "b" }
    model_warmup { name: "w" batch_size: 1 count: 1 inputs { key: "x" value {
      data_type: TYPE_FP32 dims: 1 random_data: true } } }
    """
    assert unhonoured_fields(parse_config(text, source="c")) == ()


def test_every_honoured_path_exists_in_the_message():
    for path in HONOURED:
        descriptor = model_config_pb2.ModelConfig.DESCRIPTOR
        for name in path.split("."):
            field = descriptor.fields_by_name[name]
            descriptor = field.message_type
            if descriptor is not None and descriptor.GetOptions().map_entry:
                descriptor = descriptor.fields_by_name["value"].message_type
