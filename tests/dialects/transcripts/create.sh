# Create an order. Auth is required. The 'Idempotency-Key' header
# makes retries safe — same key + same body returns the same order id
# without creating duplicates.
APIKEY="rWqZ...Rg"
APISECRET="G1JV...n4"
NONCE=$(openssl rand -hex 16)
IDEMP=$(openssl rand -hex 12)
BODY='{"type":"float","fromCcy":"btc","toCcy":"usdt_trc20","direction":"from","amount":"0.01","toAddress":"TXyz...your-recipient-address","refundAddress":"bc1q...your-refund-address","afftax":50}'
SIGN=$(printf '%s' "$BODY" | openssl dgst -sha256 -hmac "$APISECRET" | sed 's/^.* //')
curl -sS -X POST "https://desk.example/api/v1/create" \
-H "Content-Type: application/json" \
-H "X-API-KEY: $APIKEY" \
-H "X-API-SIGN: $SIGN" \
-H "X-API-NONCE: $NONCE" \
-H "Idempotency-Key: $IDEMP" \
--data "$BODY"
# Save data.id and data.token from the response — the token is shown
# exactly once and cannot be recovered.
