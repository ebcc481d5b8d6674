#!/bin/sh
# healthcheck.sh: does the broker answer a CONNECT? A refusal is an answer, so that no secret is needed: it comes from
# the broker with its plugins, and as 0x87 "not authorized" (135) it can be nothing else.
#
# HEALTHCHECK_ARGS: how mosquitto_sub reaches the broker, otherwise "-p 1883".
# shellcheck disable=SC2016,SC2086 # no variable of ours; they are words
mosquitto_sub ${HEALTHCHECK_ARGS:--p 1883} -V 5 -i healthcheck -u healthcheck -t '$SYS/broker/version' -E -W 5 >/dev/null 2>&1
status=$?
[ $status -eq 0 ] || [ $status -eq 135 ]
