curl --silent --show-error --fail-with-body \
  --header "Authorization: Bearer $API_KEY" \
  https://api.example.com/v1/orders
