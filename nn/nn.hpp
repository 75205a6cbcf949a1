#pragma once

// All of xtape's neural-network layer.

#include "nn/adam.hpp"
#include "nn/clip.hpp"
#include "nn/dropout.hpp"
#include "nn/gru_cell.hpp"
#include "nn/initialize.hpp"
#include "nn/layers.hpp"
#include "nn/linear.hpp"
#include "nn/loss.hpp"
#include "nn/lstm_cell.hpp"
#include "nn/module.hpp"
#include "nn/packed_sequence.hpp"
#include "nn/recurrent.hpp"
#include "nn/rnn_cell.hpp"
#include "nn/sgd.hpp"
#include "nn/state.hpp"
#include "nn/stream.hpp"
#include "nn/unroll.hpp"
