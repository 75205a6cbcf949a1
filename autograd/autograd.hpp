#pragma once

// All of xtape::autograd.

#include "autograd/checkpoint.hpp"
#include "autograd/count.hpp"
#include "autograd/cumsum.hpp"
#include "autograd/error.hpp"
#include "autograd/gradcheck.hpp"
#include "autograd/indexing.hpp"
#include "autograd/joining.hpp"
#include "autograd/matmul.hpp"
#include "autograd/parameter.hpp"
#include "autograd/reductions.hpp"
#include "autograd/replay.hpp"
#include "autograd/softmax.hpp"
#include "autograd/statement.hpp"
#include "autograd/sweep.hpp"
#include "autograd/tape.hpp"
#include "autograd/views.hpp"
