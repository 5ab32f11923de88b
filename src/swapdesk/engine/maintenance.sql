-- name: read
SELECT maintenance AS on, since_ms, by FROM site_switch

-- name: switch
-- Repeating what is so already changes nothing.
UPDATE site_switch SET maintenance = $1, since_ms = $2, by = $3 WHERE maintenance <> $1
