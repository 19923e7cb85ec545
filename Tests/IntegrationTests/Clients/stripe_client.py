"""Creates a charge with the Stripe SDK, its own retries on: BASE_URL TIMEOUT_SECONDS [RETRIES]. Prints the charge, or the error, as JSON."""

import json
import sys

import stripe

base, timeout = sys.argv[1], float(sys.argv[2])
client = stripe.StripeClient(
    "sk_test_oncegate",
    base_addresses={"api": base},
    max_network_retries=int(sys.argv[3]) if len(sys.argv) > 3 else 6,
    http_client=stripe.RequestsClient(timeout=timeout),
)
try:
    charges = client.v1.charges if hasattr(client, "v1") else client.charges
    charge = charges.create({"amount": 2000, "currency": "usd", "source": "tok_visa"})
    print(json.dumps({"id": charge.id}))
except stripe.StripeError as error:
    print(json.dumps({"status": error.http_status, "error": type(error).__name__, "message": str(error)}))
