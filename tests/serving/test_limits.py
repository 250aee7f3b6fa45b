"""From config to limits."""

from segserve.repository.pbtxt import parse_config
from segserve.serving.limits import batch_limits, instance_count, leaves_a_core


def config(text):
    return parse_config(text, source="config.pbtxt")


def test_no_scheduler_means_one_image_a_run():
    limits = batch_limits(config("max_batch_size: 8"), cores=2, on_cpu=True)
    assert (limits.max_batch_size, limits.instances, limits.spread) == (1, 2, True)
    assert batch_limits(config("max_batch_size: 0"), cores=2, on_cpu=True).max_batch_size == 0


def test_everything_that_dynamic_batching_says():
    limits = batch_limits(
        config(
            """
            max_batch_size: 8
            instance_group [ { kind: KIND_GPU count: 2 gpus: [ 0 ] } ]
            parameters { key: "max_exact_buckets" value { string_value: "5" } }
            dynamic_batching {
              preferred_batch_size: [ 4, 8 ]
              max_queue_delay_microseconds: 1500
              preserve_ordering: true
              priority_levels: 3
              default_priority_level: 2
              default_queue_policy { default_timeout_microseconds: 9 max_queue_size: 7 }
              priority_queue_policy {
                key: 1
                value { timeout_action: DELAY allow_timeout_override: true }
              }
            }"""
        ),
        cores=16,
        on_cpu=False,
    )
    assert (limits.max_batch_size, limits.instances, limits.spread) == (8, 2, False)
    assert limits.preferred_batch_sizes == (4, 8)
    assert limits.max_queue_delay_s == 0.0015
    assert limits.preserve_ordering
    assert (limits.priority_levels, limits.default_priority, limits.max_buckets) == (3, 2, 5)
    assert limits.policy(2).max_queue_size == 7
    assert limits.policy(2).reject
    assert not limits.policy(1).reject
    assert limits.policy(1).timeout_us(3) == 3


def test_instance_counts():
    groups = "instance_group [ { kind: KIND_GPU count: 2 gpus: [ 0, 1 ] } ]"
    assert instance_count(config(groups), cores=2, on_cpu=False) == 4
    assert instance_count(config("instance_group [ { count: 3 } ]"), cores=2, on_cpu=True) == 3
    assert instance_count(config(""), cores=6, on_cpu=True) == 6
    assert instance_count(config(""), cores=6, on_cpu=False) == 1


def test_a_slow_model_leaves_a_core_to_the_others():
    slow = 'backend: "classical"'
    counts = [instance_count(config(slow), cores=cores, on_cpu=True) for cores in (1, 2, 6)]
    assert counts == [1, 1, 5]
    groups = "instance_group [ { count: 3 } ]"
    assert instance_count(config(f"{slow} {groups}"), cores=2, on_cpu=True) == 3
    assert leaves_a_core(config(slow))
    assert not leaves_a_core(config(f"{slow} {groups}"))
    assert not leaves_a_core(config(""))
