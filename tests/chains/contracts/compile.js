// Compiles the contracts here into src/swapdesk/demo/erc20.json. Only needed when one of them changes:
//   in a folder of its own: npm install solc@0.8.37 @openzeppelin/contracts@5.7.0
//   node compile.js tests/chains/contracts > src/swapdesk/demo/erc20.json   (with NODE_PATH on its node_modules)
const fs = require('fs')
const path = require('path')
const solc = require('solc')

const folder = process.argv[2]
const files = fs.readdirSync(folder).filter((name) => name.endsWith('.sol')).sort()
const sources = Object.fromEntries(
  files.map((name) => [name, { content: fs.readFileSync(path.join(folder, name), 'utf8') }]),
)
const settings = {
  optimizer: { enabled: true, runs: 200 },
  evmVersion: 'paris',
  metadata: { bytecodeHash: 'none', appendCBOR: false },
  outputSelection: { '*': { '*': ['evm.bytecode.object', 'evm.methodIdentifiers'] } },
}
const found = (name) => ({ contents: fs.readFileSync(require.resolve(name), 'utf8') })
const output = JSON.parse(
  solc.compile(JSON.stringify({ language: 'Solidity', sources, settings }), { import: found }),
)
for (const problem of output.errors || []) console.error(problem.formattedMessage)

const contracts = {}
for (const source of files)
  for (const [name, made] of Object.entries(output.contracts[source]))
    contracts[name] = { source, bytecode: made.evm.bytecode.object, methods: made.evm.methodIdentifiers }
console.log(JSON.stringify({ solc: solc.version(), contracts }, null, 1))
