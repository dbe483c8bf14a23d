#!/usr/bin/env bash
# The stack of compose.yaml. `demo` makes the secrets where there are none, starts everything, waits until it answers, and shows
# what it answers. Everything else is for Compose: `down` ends it, `down --volumes` forgets its keys too, `logs`, `ps`, and so on.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

# What is needed here too of the file that Compose reads. The environment goes first.
if [ -e .env ]; then
  setting='^(STACK_SECRETS|STACK_USER|STACK_PROJECT|ENVOY_PORT|NGINX_PORT|ADMIN_PORT)=["'\'']?([^"'\''#[:space:]]+)'
  while IFS= read -r line || [ -n "$line" ]; do
    if [[ $line =~ $setting && -z ${!BASH_REMATCH[1]+set} ]]; then export "${BASH_REMATCH[1]}=${BASH_REMATCH[2]}"; fi
  done <.env
fi

SECRETS=${STACK_SECRETS:-secrets}
ENVOY=http://127.0.0.1:${ENVOY_PORT:-8080}
NGINX=http://127.0.0.1:${NGINX_PORT:-8081}
WITHIN_SECONDS=120

compose() {
  local program=(docker-compose)
  if docker compose version >/dev/null 2>&1; then program=(docker compose); fi
  "${program[@]}" --file compose.yaml --project-name "${STACK_PROJECT:-extauth}" "$@"
}

# Secrets belong to whoever runs extauth: the image's own user where root may give them away, else whoever starts this.
user() {
  if [ "$(id -u)" = 0 ]; then
    echo 10001:10001
  elif docker info --format '{{.SecurityOptions}}' | grep -q rootless; then
    echo 0:0  # as which rootless engines know this user
  else
    echo "$(id -u):$(id -g)"
  fi
}

make_secrets() (
  umask 077
  mkdir -p "$SECRETS"
  [ -e "$SECRETS/pepper" ] || random >"$SECRETS/pepper"
  [ -e "$SECRETS/redis_password" ] || random >"$SECRETS/redis_password"
  redis_users >"$SECRETS/redis_users"
  # The user of Redis reads it too. The folder keeps others out.
  chmod 0444 "$SECRETS/redis_users"
  if [ "$(id -u)" = 0 ]; then chown "$STACK_USER" "$SECRETS/pepper" "$SECRETS/redis_password"; fi
)

random() { head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }

# What docs/redis.md says that extauth needs; of the password only its hash.
redis_users() {
  local hash
  hash=$(sha256sum "$SECRETS/redis_password")
  # Nobody can be this user, but Redis loads its append-only file by its rights, and without them leaves transactions out.
  echo 'user default off ~* &* +@all'
  echo 'user health on nopass -@all +ping'
  echo "user extauth on #${hash%% *} ~extauth:* &extauth:calls:* -@all +@read +@write +@scripting +@connection +@blocking" \
    '+time +info +config|get +publish +subscribe'
}

status() { curl --silent --output /dev/null --max-time 5 --write-out '%{http_code}' "$@" || true; }

wait_until_answered() {
  local proxy
  for proxy in "$ENVOY" "$NGINX"; do
    until [ "$(status "$proxy/health")" = 200 ]; do
      if [ "$SECONDS" -gt "$WITHIN_SECONDS" ]; then
        echo "No answer from $proxy after $WITHIN_SECONDS s. What became of the containers:" >&2
        compose ps >&2
        return 1
      fi
      sleep 0.2
    done
  done
}

# A user's key; its text is nowhere but on this terminal.
make_key() {
  compose exec -T extauth-1 extauth keys create --user-id "$1" --name stack --tier "$2" --scope orders:read --json |
    sed -n 's/^ *"key": "\([^"]*\)".*/\1/p'
}

# Says what a line is about, prints it, pastes it into a shell, and fails unless that is the last status it shows.
try() {
  local expected=$1 about=$2 line=$3 got
  got=$(bash -c "$line" | sed -n 's|^HTTP/1.1 \([0-9]*\).*|\1|p' | tail -n 1)
  printf '\n# %s: %s\n%s\n' "$got" "$about" "$line"
  if [ "$got" != "$expected" ]; then echo "This should have been $expected." >&2; return 1; fi
}

show() {
  local proxy name pro free
  pro=$(make_key alice pro)
  free=$(make_key bob free)
  for name in Envoy nginx; do
    proxy=$([ "$name" = Envoy ] && echo "$ENVOY" || echo "$NGINX")
    try 200 "alice through $name" "curl -si -H 'X-API-Key: $pro' $proxy/v1/orders"
    try 401 "no key, through $name" "curl -si $proxy/v1/orders"
    try 403 "alice's key lacks the scope, through $name" "curl -si -H 'X-API-Key: $pro' $proxy/v1/admin/users"
    try 429 "bob may 3 at once, 10 a minute, whichever proxy and extauth he meets; $name" \
      "for i in 1 2 3 4; do curl -si -H 'X-API-Key: $free' $proxy/v1/orders; done"
  done
}

demo() {
  # One of the four services that have extauth's image, so that Compose 2 doesn't build it for all of them at once.
  compose up --detach configurations
  compose up --detach
  wait_until_answered
  echo "Envoy on $ENVOY and nginx on $NGINX ask two extauth, $SECONDS s after the start."
  show
  printf '\nDashboard: http://127.0.0.1:%s/dashboard/\nmake stop-stack ends it.\n' "${ADMIN_PORT:-9001}"
}

STACK_USER=${STACK_USER:-$(user)}
export STACK_USER
case "${1:-}" in
  # Not `make_secrets && demo`: bash passes over mistakes on the left of that.
  demo) make_secrets; demo ;;
  '') sed -n '2,3s/^# //p' stack.sh && exit 2 ;;
  # Else the containers of that profile stay.
  down) compose --profile observability "$@" ;;
  *) compose "$@" ;;
esac
