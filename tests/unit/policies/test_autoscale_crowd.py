"""Whether a service's replicas are asked more than they manage, and what each manages then."""

import math

from suanli.policies.autoscale.crowd import Crowd


def test_many_more_than_usual_are_a_crowd_until_half_of_that_is_over() -> None:
    crowd = Crowd(0.0)
    told = []
    for now_s, ongoing in enumerate((2, 12, 13, 9, 7, 6, 12)):
        crowd.look(float(now_s), ongoing, 4.0, 2)
        told.append(crowd.is_here)
    assert told == [False, False, True, True, True, False, False]


def test_a_few_a_replica_are_no_crowd_however_little_is_usual() -> None:
    crowd = Crowd(0.0)
    crowd.look(1.0, 6, 0.1, 2)
    assert not crowd.is_here
    crowd.look(2.0, 7, 0.1, 2)
    assert crowd.is_here


def test_without_calm_times_to_go_by_there_is_none() -> None:
    crowd = Crowd(0.0)
    crowd.look(1.0, 1000, None, 1)
    assert not crowd.is_here


def test_who_came_before_the_replicas_changed_or_in_a_crowd_does_not_count() -> None:
    crowd = Crowd(0.0)
    crowd.look(1.0, 1, 2.0, 1)
    assert crowd.settled_s == 1.0  # the first replica
    crowd.look(2.0, 1, 2.0, 1)
    assert crowd.settled_s == 1.0
    crowd.look(3.0, 1, 2.0, 2)
    assert crowd.settled_s == 3.0
    crowd.look(4.0, 9, 2.0, 2)
    crowd.look(5.0, 9, 2.0, 2)
    crowd.look(6.0, 1, 2.0, 2)
    assert crowd.settled_s == 5.0


def test_the_most_that_a_replica_managed_counts_until_the_crowd_is_over() -> None:
    crowd = Crowd(0.0)
    assert math.isinf(crowd.whole_second_s())
    crowd.managed(10.0)
    assert crowd.each_per_s is None
    crowd.look(1.5, 50, 4.0, 2)
    assert crowd.whole_second_s() == 2.0
    crowd.managed(40.0)
    crowd.look(3.2, 50, 4.0, 4)
    assert crowd.whole_second_s() == 4.0
    crowd.managed(44.0)  # the two that have just come were given little yet
    assert crowd.each_per_s == 20.0
    crowd.look(6.0, 2, 4.0, 4)
    assert crowd.each_per_s is None
