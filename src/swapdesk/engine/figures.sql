-- name: orders_by_state
SELECT state, count(*)::bigint AS orders FROM orders GROUP BY state

-- name: webhooks_waiting
-- Events not delivered yet, and dead letters.
SELECT count(*) FILTER (WHERE dead_ms IS NULL)::bigint AS waiting,
       count(*) FILTER (WHERE dead_ms IS NOT NULL)::bigint AS dead
  FROM webhook_delivery WHERE delivered_ms IS NULL
